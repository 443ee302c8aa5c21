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
    """The health of one worker process. Any thread may ask for it."""

    def __init__(self, pump: PumpState, ledger: LedgerState, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock`: the one of `pump.turned_at`, in seconds."""
        self.loop = LoopWatch(clock)
        self._pump = pump
        self._ledger = ledger
        self._clock = clock

    def fault(self) -> str:
        """Why the process is not alive; empty when it is. When its pump has ended, the process ends by itself."""
        if fault := self.loop.fault():
            return fault
        silent = self._clock() - self._pump.turned_at
        if self._pump.is_alive() and silent > STUCK_SECONDS:
            return f"the pump has not turned for {silent:.0f} s"
        return ""

    def missing(self) -> str:
        """What the worker needs and does not have; empty when it is ready."""
        if not self._pump.is_alive():
            return "stopping"
        if not self._pump.connected:
            return "the broker does not answer"
        return "" if self._ledger.reached else "the ledger's Redis does not answer"
