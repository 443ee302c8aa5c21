"""Run several worker processes under one parent, which replaces those that die or are stuck."""

import signal
import time
from collections import deque
from collections.abc import Sequence
from typing import Final

import structlog

from shared.admin.listener import OFF, AdminListener
from shared.admin.loop_watch import STUCK_SECONDS
from shared.admin.pages import routes
from workers.child import START_SECONDS, Child, Death

log = structlog.get_logger()

TICK: Final = 0.1
"""Seconds between two looks at the children."""
LONGEST_TICK: Final = 1.0
"""More than that between two looks means that this process was stopped too: the children are not to blame."""

INVALID_SETTINGS: Final = 2
"""The exit code of a process whose settings are invalid."""


def run(command: Sequence[str], processes: int, grace: float, admin_address: str = OFF) -> int:
    """Run `processes` children of `command` until SIGTERM or SIGINT. SIGHUP restarts them, one after the other.

    A child that dies is started again, after a rest that grows when it dies early. A child that is stuck or silent is
    killed. A child that exits with 2 has invalid settings, which all children share: if none of them was ever up, all
    are stopped.

    Args:
        command: The program and arguments of a child.
        processes: How many children run.
        grace: Seconds that a child may take to stop.
        admin_address: HOST:PORT of the probes, or `off`.

    Returns:
        The exit code: 2 for invalid settings, else the highest exit code of the children that were stopped.
    """
    supervisor = Supervisor(command, processes, grace)
    with AdminListener(admin_address, routes(supervisor.fault, supervisor.missing)):
        return supervisor.run()


class Supervisor:
    """The parent of N worker processes."""

    def __init__(self, command: Sequence[str], processes: int, grace: float) -> None:
        self._children = [Child(command, slot, grace) for slot in range(1, processes + 1)]
        self._looked_at = self._alive_at = time.monotonic()
        self._to_restart: deque[Child] = deque()
        self._restarting: Child | None = None
        self._ever_up = False
        self._exit_code: int | None = None
        """Set when all are to be stopped."""

    def fault(self) -> str:
        """Why this process is not alive; empty when it is. A child that is stuck is replaced: that is no fault."""
        now = time.monotonic()
        if (silent := now - self._looked_at) > STUCK_SECONDS:
            return f"the supervisor has not looked at its processes for {silent:.0f} s"
        if (down := now - self._alive_at) > START_SECONDS:
            return f"no process has been alive for {down:.0f} s"
        return ""

    def missing(self) -> str:
        """Why none of the children can work; empty when one is ready."""
        return "" if any(child.ready for child in self._children) else "no process is ready"

    def run(self) -> int:
        """Run until a signal; returns the exit code."""
        for signal_number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(signal_number, self._stop)
        signal.signal(signal.SIGHUP, self._restart_all)
        log.info("supervisor.started", processes=len(self._children))
        while self._exit_code is None:
            self._look()
            time.sleep(TICK)
        code = max([self._exit_code, *self._stop_children()])
        log.info("supervisor.stopped", exit_code=code)
        return code

    def _stop(self, *_: object) -> None:
        self._exit_code = 0

    def _restart_all(self, *_: object) -> None:
        self._to_restart = deque(self._children)

    def _look(self) -> None:
        now = time.monotonic()
        elapsed = self._elapsed(now)
        running = [child for child in self._children if child.running]
        for child in running:
            child.listen(elapsed)
            self._ever_up = self._ever_up or child.up
            self._alive_at = now if child.alive else self._alive_at
        for child in running:
            self._watch(child, now)
        self._go_on_restarting(now)
        for child in self._children:
            if self._exit_code is None:
                child.start_if_due(now)

    def _elapsed(self, now: float) -> float:
        """Seconds since the last look, `LONGEST_TICK` at most."""
        elapsed, self._looked_at = min(LONGEST_TICK, now - self._looked_at), now
        return elapsed

    def _watch(self, child: Child, now: float) -> None:
        if why := child.stuck:
            log.error("worker.killed", child=child.name, child_pid=child.pid, why=why)
            child.kill()
        if death := child.reap(now):
            self._on_death(child, death)

    def _on_death(self, child: Child, death: Death) -> None:
        if death.asked:
            log.info("worker.ended", child=child.name, child_pid=death.pid, exit_code=death.exit_code)
            return
        log.error(
            "worker.died",
            child=child.name,
            child_pid=death.pid,
            exit_code=death.exit_code,
            restart_in_seconds=child.rest,
        )
        if death.exit_code == INVALID_SETTINGS and not self._ever_up:
            self._exit_code = INVALID_SETTINGS
        if child is self._restarting:
            log.error("supervisor.restart_failed", child=child.name, not_restarted=len(self._to_restart))
            self._to_restart.clear()
            self._restarting = None

    def _go_on_restarting(self, now: float) -> None:
        """Restart the next child when the last one is ready."""
        if self._restarting is not None and self._restarting.ready:
            self._restarting = None
            if not self._to_restart:
                log.info("supervisor.restarted")
        if self._restarting is None and self._to_restart:
            self._restarting = self._to_restart.popleft()
            log.info("supervisor.restarting", child=self._restarting.name, child_pid=self._restarting.pid)
            self._restarting.stop(now)

    def _stop_children(self) -> list[int]:
        """Stop all; returns their exit codes, with the number of the signal for one that was killed."""
        codes = []
        for child in self._children:
            child.stop(time.monotonic())
        while running := [child for child in self._children if child.running]:
            self._looked_at = time.monotonic()
            for child in running:
                if death := child.reap(time.monotonic()):
                    log.info("worker.ended", child=child.name, child_pid=death.pid, exit_code=death.exit_code)
                    codes.append(abs(death.exit_code))
            time.sleep(TICK)
        return codes
