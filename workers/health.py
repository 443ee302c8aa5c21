"""Whether a worker process works: what its probes and its supervisor are told."""

import time
from collections.abc import Callable
from typing import Protocol

from shared.admin.loop_watch import STUCK_SECONDS, LoopWatch


class PumpState(Protocol):
    """What is asked of the pump. Its thread writes these, any thread reads them."""

    turned_at: float
    """When it last got on, by `time.monotonic`."""
    connected: bool
    """Whether its last exchange with the broker succeeded."""

    def is_alive(self) -> bool:
        """Whether its thread runs."""


class LedgerState(Protocol):
    """What is asked of the ledger's Redis."""

    reached: bool
    """Whether it answered last."""


class Health:
    """The health of one worker process, from its start. Any thread may ask for it."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock`: the one of `PumpState.turned_at`, in seconds."""
        self._clock = clock
        self._work: tuple[LoopWatch, PumpState, LedgerState] | None = None

    def watch(self, pump: PumpState, ledger: LedgerState) -> LoopWatch:
        """Watch this worker from now on. Returns what has to run on its loop."""
        loop = LoopWatch(self._clock)
        self._work = (loop, pump, ledger)
        return loop

    @property
    def starting(self) -> bool:
        """Whether the worker still waits for its servers."""
        return self._work is None

    def fault(self) -> str:
        """Why the process is not alive; empty when it is. When its pump has ended, the process ends by itself."""
        if self._work is None:
            return ""
        loop, pump, _ = self._work
        if fault := loop.fault():
            return fault
        silent = self._clock() - pump.turned_at
        if pump.is_alive() and silent > STUCK_SECONDS:
            return f"the pump has not turned for {silent:.0f} s"
        return ""

    def missing(self) -> str:
        """What the worker needs and does not have; empty when it is ready."""
        if self._work is None:
            return "a server that the worker needs has not answered yet"
        _, pump, ledger = self._work
        if not pump.is_alive():
            return "stopping"
        if not pump.connected:
            return "the broker does not answer"
        return "" if ledger.reached else "the ledger's Redis does not answer"
