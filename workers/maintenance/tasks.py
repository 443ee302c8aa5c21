"""Run the maintenance of a worker: each task apart from the others, so that none stops the worker."""

import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Final

import structlog

from shared.messaging.errors import BrokerUnavailable

log = structlog.get_logger()

FIRST_PAUSE: Final = 1.0
LONGEST_PAUSE: Final = 60.0
"""Seconds until a task that failed runs again: doubled with each failure in a row, up to the longest."""

Task = Callable[[], None]


class Maintenance:
    """The maintenance tasks of one worker."""

    def __init__(
        self,
        tasks: Mapping[str, Task],
        clock: Callable[[], float] = time.monotonic,
        after_each: Callable[[], None] = lambda: None,
    ) -> None:
        """`tasks`: by name, in their order. `clock`: seconds. `after_each` is called after each task."""
        self._tasks = deque(tasks.items())
        self._clock = clock
        self._after_each = after_each
        self._failures: dict[str, int] = {}
        self._paused_until: dict[str, float] = {}

    def run(self) -> None:
        """Run each task that is not paused. Raises `BrokerUnavailable`, and the next run starts with the next task."""
        for _ in range(len(self._tasks)):
            name, task = self._tasks[0]
            self._tasks.rotate(-1)
            if self._clock() >= self._paused_until.get(name, 0.0):
                self._run_one(name, task)
                self._after_each()

    def _run_one(self, name: str, task: Task) -> None:
        try:
            task()
        except BrokerUnavailable:
            raise
        except Exception as error:
            self._pause(name, error)
        else:
            self._failures.pop(name, None)

    def _pause(self, name: str, error: Exception) -> None:
        failures = self._failures[name] = self._failures.get(name, 0) + 1
        pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(failures - 1, 10))
        self._paused_until[name] = self._clock() + pause
        log.error("maintenance.failed", task=name, failures=failures, retry_in_seconds=pause, exc_info=error)
