"""A child of the supervisor: start it, read its reports, stop it, kill it."""

import os
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from workers.parent import Parent, worker_name

RESTS: Final = (1.0, 60.0)
"""Seconds before a dead child is started again: after its first early death, and at most. Doubled each time."""
SETTLED_AFTER: Final = 60.0
"""Seconds after which a death is not an early one."""
START_SECONDS: Final = 120.0
"""How long a child may take until its first report."""
SILENT_SECONDS: Final = 10.0
"""How long a child may be silent after its first report. It reports every second."""
KILL_AFTER: Final = 5.0
"""Seconds after the grace period; then a child that is still running is killed."""


@dataclass(frozen=True, slots=True)
class Death:
    """The end of a process."""

    pid: int
    exit_code: int
    """Negative: the number of the signal that killed it."""
    asked: bool
    """Whether it was asked to stop."""


class Child:
    """One of N processes, with all that have replaced it. Times are those of `time.monotonic`."""

    def __init__(self, command: Sequence[str], slot: int, grace: float) -> None:
        self.slot = slot
        self.rest = 0.0
        """Seconds between the last death and the next start."""
        self._command = list(command)
        self._grace = grace
        self._process: subprocess.Popen[bytes] | None = None
        self._pipe = -1
        self._report = b""
        self._silent = 0.0
        self._started_at = 0.0
        self._start_at = 0.0
        self._kill_at: float | None = None
        """Set when it was asked to stop."""
        self._killed = False

    @property
    def name(self) -> str:
        """The name in its log lines, before `@HOST`."""
        return worker_name(self.slot)

    @property
    def pid(self) -> int | None:
        """The process id; None while it rests."""
        return self._process.pid if self._process else None

    @property
    def running(self) -> bool:
        """Whether it has a process."""
        return self._process is not None

    @property
    def up(self) -> bool:
        """Whether it has reported that it works: its settings are valid."""
        return self._report in (b"l", b"r")

    @property
    def alive(self) -> bool:
        """Whether it has reported that it works, or that it waits for a server."""
        return self.up or self._report == b"w"

    @property
    def ready(self) -> bool:
        """Whether it has reported that it is ready, and was not asked to stop."""
        return self._report == b"r" and self._kill_at is None

    @property
    def stuck(self) -> str:
        """Why it must be killed; empty when it need not be."""
        if self._killed:
            return ""
        if self._report == b"s":
            return "stuck"
        return "silent" if self._silent > (SILENT_SECONDS if self._report else START_SECONDS) else ""

    def start_if_due(self, now: float) -> None:
        """Start a process, unless it has one or still rests."""
        if self._process is not None or now < self._start_at:
            return
        self._pipe, write_end = os.pipe()
        try:
            os.set_blocking(self._pipe, False)
            os.set_blocking(write_end, False)
            parent = Parent(os.getpid(), self.slot, write_end)
            self._process = subprocess.Popen(  # noqa: S603 - the console's own command
                self._command, env=parent.environment(), pass_fds=[write_end], start_new_session=True
            )
        finally:
            os.close(write_end)
        self._report, self._silent, self._started_at, self._killed = b"", 0.0, now, False

    def listen(self, elapsed: float) -> None:
        """Read its reports. `elapsed`: seconds since the last call in which the supervisor did run."""
        try:
            reports = os.read(self._pipe, 65_536)
        except BlockingIOError:
            reports = b""
        self._silent = 0.0 if reports else self._silent + elapsed
        self._report = reports[-1:] or self._report

    def reap(self, now: float) -> Death | None:
        """The end of its process, with which a rest begins; None while it runs. Kills it after the grace period."""
        if self._process is None:
            return None
        if (code := self._process.poll()) is None:
            if self._kill_at is not None and now >= self._kill_at:
                self.kill()
            return None
        death = Death(self._process.pid, code, asked=self._kill_at is not None)
        os.close(self._pipe)
        self._process, self._kill_at, self._report = None, None, b""
        self.rest = 0.0 if death.asked else self._next_rest(now)
        self._start_at = now + self.rest
        return death

    def _next_rest(self, now: float) -> float:
        first, most = RESTS
        early = now - self._started_at < SETTLED_AFTER
        return min(most, max(first, 2 * self.rest)) if early else first

    def stop(self, now: float) -> None:
        """Ask it to stop. After the grace period `reap` kills it."""
        if self._process is not None and self._kill_at is None:
            self._kill_at = now + self._grace + KILL_AFTER
            self._send(signal.SIGTERM)

    def kill(self) -> None:
        """Kill it, in whatever state it is."""
        self._killed = True
        self._send(signal.SIGKILL)

    def _send(self, number: signal.Signals) -> None:
        if self._process is not None:
            with suppress(ProcessLookupError):
                self._process.send_signal(number)
