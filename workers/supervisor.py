"""Run several worker processes under one parent, which restarts those that die and stops all on a signal."""

import signal
import subprocess
import time
from collections.abc import Sequence

import structlog

log = structlog.get_logger()

RESTART_DELAY = 1.0
"""Seconds before a dead worker is restarted, so that a worker that dies at once does not restart in a tight loop."""
KILL_AFTER = 5.0
"""Seconds after the grace period; then a child that is still running is killed."""


def run(command: Sequence[str], processes: int, grace: float) -> int:
    """Run `processes` children of `command` until SIGTERM or SIGINT.

    A child that exits with 2 has invalid settings, which all children share: then all are stopped.

    Args:
        command: The program and arguments of a child.
        processes: How many children run.
        grace: Seconds that a child may take to stop.

    Returns:
        The exit code: 2 for invalid settings, else the highest exit code of the children that were stopped.
    """
    return _Supervisor(command, processes, grace).run()


class _Supervisor:
    def __init__(self, command: Sequence[str], processes: int, grace: float) -> None:
        self._command = command
        self._grace = grace
        self._children: list[subprocess.Popen[bytes]] = []
        self._count = processes
        self._stopping = False
        self._invalid_settings = False

    def run(self) -> int:
        for signal_number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(signal_number, self._stop)
        while not self._stopping:
            self._restart_dead()
            time.sleep(0.1)
        return self._stop_children()

    def _stop(self, *_: object) -> None:
        self._stopping = True

    def _restart_dead(self) -> None:
        dead = [child for child in self._children if child.poll() is not None]
        self._children = [child for child in self._children if child.returncode is None]
        for child in dead:
            log.error("worker.died", child_pid=child.pid, exit_code=child.returncode)
        if any(child.returncode == 2 for child in dead):
            self._invalid_settings = True
            self._stop()
        elif dead:
            time.sleep(RESTART_DELAY)
        while len(self._children) < self._count and not self._stopping:
            self._children.append(subprocess.Popen(self._command, start_new_session=True))  # noqa: S603

    def _stop_children(self) -> int:
        for child in self._children:
            child.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + self._grace + KILL_AFTER
        for child in self._children:
            try:
                child.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        return 2 if self._invalid_settings else max((abs(child.returncode) for child in self._children), default=0)
