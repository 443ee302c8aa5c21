"""Wait for a condition: the one way in which tests wait.

A test never waits for a time. It waits until something is true, with a limit that is far above what a busy machine
needs, and it fails at once when a process that it waits for has died, with that process's output.
"""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Protocol

LIMIT = 240.0
"""Seconds. Below the limit of pytest-timeout (600), so that a test fails with a reason."""
PAUSE = 0.01
TAIL = 4000
"""Characters of a dead process's output that are shown."""


class Watched(Protocol):
    """A process that a test waits for, as `deploy.local.program.Program` is one."""

    name: str
    log_file: Path

    @property
    def running(self) -> bool:
        """Whether it is alive."""

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""


def until(
    condition: Callable[[], object], seconds: float = LIMIT, *, what: str = "", of: Iterable[Watched] = ()
) -> None:
    """Return once `condition()` is true.

    Args:
        condition: Called again and again on this thread.
        seconds: After which the test fails with AssertionError.
        what: What is waited for, for the error message.
        of: Processes that must live until then. When one has died, the test fails at once with the end of its log.
    """
    processes = tuple(of)
    deadline = time.monotonic() + seconds
    while not condition():
        _check(processes, what, deadline, seconds)
        time.sleep(PAUSE)


async def eventually(
    condition: Callable[[], object | Awaitable[object]],
    seconds: float = LIMIT,
    *,
    what: str = "",
    of: Iterable[Watched] = (),
) -> None:
    """The same for asyncio: `condition` may be a coroutine function, and the event loop runs on meanwhile."""
    processes = tuple(of)
    deadline = time.monotonic() + seconds
    while True:
        answer = condition()
        if await answer if inspect.isawaitable(answer) else answer:
            return
        _check(processes, what, deadline, seconds)
        await asyncio.sleep(PAUSE)


def _check(processes: Iterable[Watched], what: str, deadline: float, seconds: float) -> None:
    for process in processes:
        if not process.running:
            end = process.log_file.read_text(errors="replace")[-TAIL:] if process.log_file.exists() else ""
            raise AssertionError(f"{process.name} ended with {process.exit_code} before: {what or 'it'}\n{end}")
    if time.monotonic() > deadline:
        raise AssertionError(f"not within {seconds:g} s: {what or 'the condition'}")
