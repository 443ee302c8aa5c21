"""Report a worker's health to its supervisor, and end with it."""

import os
import signal
import threading
from typing import Final, Self

import structlog

from workers.health import Health
from workers.parent import Parent, ParentGone

log = structlog.get_logger()

INTERVAL: Final = 1.0
"""Seconds between two reports."""
EXIT_AFTER: Final = 5.0
"""Seconds after the grace period; then a process whose supervisor has died ends, finished or not."""


class Reporter(threading.Thread):
    """Reports the health of this process to its supervisor while its block runs, on a thread. A context manager."""

    def __init__(self, parent: Parent, health: Health, grace: float) -> None:
        """`grace`: seconds that the process may take to stop when its supervisor has died."""
        super().__init__(name="reporter", daemon=True)
        self._parent = parent
        self._health = health
        self._grace = grace
        self._ended = threading.Event()

    def __enter__(self) -> Self:
        """Start to report."""
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop to report: from now on the process ends by itself."""
        self._ended.set()

    def run(self) -> None:
        """Report until the process ends. When the supervisor has died, stop this process."""
        try:
            while True:
                self._report()
                if self._ended.wait(INTERVAL):
                    return
        except ParentGone:
            self._stop_process()

    def _report(self) -> None:
        if fault := self._health.fault():
            log.error("worker.stuck", why=fault)
            self._parent.report(b"s")
        elif self._health.starting:
            self._parent.report(b"w")
        else:
            self._parent.report(b"l" if self._health.missing() else b"r")

    def _stop_process(self) -> None:
        log.error("supervisor.died")
        os.kill(os.getpid(), signal.SIGTERM)
        if not self._ended.wait(self._grace + EXIT_AFTER):
            os._exit(1)
