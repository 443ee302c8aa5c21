"""Know when the asyncio loop of a process turned last."""

import asyncio
import time
from collections.abc import Callable
from typing import Final

TURN_SECONDS: Final = 1.0
"""Pause between two turns that are noted."""
STUCK_SECONDS: Final = 10.0
"""A loop that has not turned for so long is stuck: the process has to be replaced."""


class LoopWatch:
    """Notes each turn of one loop. Any thread may ask for it."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock`: seconds. The time before the loop starts counts too."""
        self._clock = clock
        self._turned_at = clock()

    async def run(self) -> None:
        """Note the turns of the running loop until cancelled."""
        while True:
            self._turned_at = self._clock()
            await asyncio.sleep(TURN_SECONDS)

    def fault(self) -> str:
        """Why the process is not alive; empty when it is."""
        silent = self._clock() - self._turned_at
        return f"the event loop has not turned for {silent:.0f} s" if silent > STUCK_SECONDS else ""
