"""Whether a worker process works: what its probes and its supervisor are told."""

import asyncio
import time
from collections.abc import Callable
from typing import Final, Protocol

LIMIT: Final = 10.0
"""Seconds without a turn after which the loop or the pump is stuck."""
TURN_SECONDS: Final = 0.5
"""Seconds between two turns of the loop that are noted."""


class PumpState(Protocol):
    """What is asked of the pump. Its thread writes these, any thread reads them."""

    turned_at: float
    """When it last got on, by `time.monotonic`."""
    connected: bool
    """Whether its last exchange with the broker succeeded."""

    def is_alive(self) -> bool:
        """Whether its thread runs."""


class Health:
    """The health of one worker process. Callable from any thread."""

    def __init__(self, pump: PumpState, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock`: the one of `pump.turned_at`, in seconds."""
        self._pump = pump
        self._clock = clock
        self._loop_turned_at = clock()

    async def note_turns(self) -> None:
        """Note that the loop turns, until this task is cancelled."""
        while True:
            self._loop_turned_at = self._clock()
            await asyncio.sleep(TURN_SECONDS)

    @property
    def stuck(self) -> list[str]:
        """The parts that have not turned for `LIMIT` seconds. A pump that has ended is not stuck: the process ends."""
        now = self._clock()
        turned_at = {"loop": self._loop_turned_at}
        if self._pump.is_alive():
            turned_at["pump"] = self._pump.turned_at
        return [part for part, at in turned_at.items() if now - at > LIMIT]

    @property
    def away(self) -> list[str]:
        """The servers that the worker needs and that did not answer last."""
        return [] if self._pump.connected else ["broker"]
