"""A stack that was left running: which processes it is, so that they can be stopped later."""

import json
import os
import signal
import time
from contextlib import suppress
from pathlib import Path

from deploy.local.stack import Stack

FILE = "kept.json"


def keep(stack: Stack) -> None:
    """Note the stack's processes in its folder."""
    pids = [program.pid for program in reversed(stack.programs)]
    if stack.redis is not None:
        pids.append(stack.redis.pid)
    (stack.folder / FILE).write_text(json.dumps({"pids": pids}))


def running(folder: Path) -> list[int]:
    """The processes of a kept stack that are alive, in the order of stopping."""
    try:
        pids: list[int] = json.loads((folder / FILE).read_text())["pids"]
    except FileNotFoundError:
        return []
    return [pid for pid in pids if _is_ours(pid)]


def stop(folder: Path) -> int:
    """Stop a kept stack, one process after the other; returns how many there were."""
    pids = running(folder)
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
        _await_end(pid)
    (folder / FILE).unlink(missing_ok=True)
    return len(pids)


def _is_ours(pid: int) -> bool:
    """Whether the process lives; where /proc tells, also that its number was not given to a stranger."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, PermissionError):
        return False
    command = Path(f"/proc/{pid}/cmdline")
    text = command.read_bytes() if command.exists() else b"console.main"
    return any(name in text for name in (b"console.main", b"redis-server", b"valkey"))


def _await_end(pid: int, seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while _is_ours(pid) and time.monotonic() < end:
        with suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)
        time.sleep(0.02)
