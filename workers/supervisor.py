"""Run several worker processes under one parent: restart those that die, and pass signals on to all."""

import signal
import subprocess
import time
from collections.abc import Sequence

import structlog

log = structlog.get_logger()

RESTART_DELAY = 1.0
"""Seconds before a dead worker is replaced, so that one that dies at once is not restarted in a tight loop."""
KILL_AFTER = 5.0
"""Seconds beyond the grace period after which a child that does not stop is killed."""


def run(command: Sequence[str], processes: int, grace: float) -> int:
    """Keep `processes` children running `command` until SIGTERM or SIGINT. Returns the exit code.

    A child that exits with 2 can't use its settings, so it ends them all: the exit code is 2. Otherwise it is the
    highest exit code of the children that were stopped. `grace`: seconds that a child may take to stop.
    """
    return _Supervisor(command, processes, grace).run()


class _Supervisor:
    def __init__(self, command: Sequence[str], processes: int, grace: float) -> None:
        self._command = command
        self._grace = grace
        self._children: list[subprocess.Popen[bytes]] = []
        self._count = processes
        self._stopping = False
        self._unusable = False

    def run(self) -> int:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        while not self._stopping:
            self._replace_dead()
            time.sleep(0.1)
        return self._await_all()

    def _stop(self, *_: object) -> None:
        self._stopping = True

    def _replace_dead(self) -> None:
        dead = [child for child in self._children if child.poll() is not None]
        self._children = [child for child in self._children if child.returncode is None]
        for child in dead:
            log.error("worker.died", pid=child.pid, exit_code=child.returncode)
        if any(child.returncode == 2 for child in dead):
            self._unusable = True
            self._stop()
        elif dead:
            time.sleep(RESTART_DELAY)
        while len(self._children) < self._count and not self._stopping:
            self._children.append(subprocess.Popen(self._command, start_new_session=True))  # noqa: S603

    def _await_all(self) -> int:
        for child in self._children:
            child.send_signal(signal.SIGTERM)
        end = time.monotonic() + self._grace + KILL_AFTER
        for child in self._children:
            try:
                child.wait(max(0.0, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        return 2 if self._unusable else max((abs(child.returncode) for child in self._children), default=0)
