"""How many GetResult calls an account may have in flight: down by half when the vendor says too many, up again slowly.

Each worker process adapts by itself; since all of them are told the same, they come down together.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

HALVING_REST: Final = 1.0
"""Seconds in which many refusals count as one: they are answers to the same crowd."""


class ConcurrencyLimiter:
    """A semaphore whose size adapts, between 1 and `most`. `clock` is monotonic, in seconds."""

    def __init__(self, most: int, clock: Callable[[], float]) -> None:
        self._most = float(most)
        self._clock = clock
        self._size = float(most)
        self._in_flight = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._halved_at = -HALVING_REST

    @property
    def size(self) -> int:
        """Calls allowed in flight now."""
        return int(self._size)

    async def __aenter__(self) -> None:
        """Hold one place for the length of the block, first come, first served."""
        await self._enter()

    async def __aexit__(self, *_: object) -> None:
        self._leave()

    def too_many(self) -> None:
        """The vendor refused a call for there being too many: half of those in flight will do."""
        if self._clock() - self._halved_at >= HALVING_REST:
            self._halved_at = self._clock()
            self._size = max(1.0, min(self._size, self._in_flight) / 2)

    def went_well(self) -> None:
        """A call was let through: one place more for every round of them."""
        self._size = min(self._most, self._size + 1 / self._size)

    async def _enter(self) -> None:
        if self._in_flight < self.size and not self._waiting:
            self._in_flight += 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # the place was given already
                self._leave()
            raise

    def _leave(self) -> None:
        self._in_flight -= 1
        while self._waiting and self._in_flight < self.size:
            turn = self._waiting.popleft()
            if not turn.done():
                self._in_flight += 1
                turn.set_result(None)
