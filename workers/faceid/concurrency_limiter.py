"""Limit how many GetResult calls an account has in flight.

The limit is halved when FaceID answers `CONCURRENCY_LIMIT_EXCEEDED` and grows slowly while calls succeed. FaceID limits
the calls of an api_key, so every worker process gets this answer, and each process lowers its own limit.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

from shared.item_clock import paused

HALVING_INTERVAL: Final = 1.0
"""Seconds during which several refusals halve the limit only once: they answer calls that were made together."""


class ConcurrencyLimiter:
    """An asyncio semaphore with a size that adapts, between 1 and `max_size`.

    `clock`: monotonic, in seconds. Used as `async with limiter:` around each call.
    """

    def __init__(self, max_size: int, clock: Callable[[], float]) -> None:
        self._max_size = float(max_size)
        self._clock = clock
        self._size = float(max_size)
        self._in_flight = 0
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._halved_at = -HALVING_INTERVAL

    @property
    def size(self) -> int:
        """How many calls may be in flight now."""
        return int(self._size)

    async def __aenter__(self) -> None:
        """Wait for a free place, first come, first served."""
        await self._enter()

    async def __aexit__(self, *_: object) -> None:
        self._leave()

    def on_limit_exceeded(self) -> None:
        """FaceID refused a call because too many were in flight: halve the limit, starting from the calls in flight."""
        if self._clock() - self._halved_at >= HALVING_INTERVAL:
            self._halved_at = self._clock()
            self._size = max(1.0, min(self._size, self._in_flight) / 2)

    def on_success(self) -> None:
        """FaceID accepted a call: the limit grows by one for as many accepted calls as the limit allows at once."""
        self._size = min(self._max_size, self._size + 1 / self._size)

    async def _enter(self) -> None:
        if self._in_flight < self.size and not self._waiters:
            self._in_flight += 1
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            with paused():
                await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():  # cancelled after it got the place: pass the place on
                self._leave()
            raise

    def _leave(self) -> None:
        self._in_flight -= 1
        while self._waiters and self._in_flight < self.size:
            waiter = self._waiters.popleft()
            if not waiter.done():
                self._in_flight += 1
                waiter.set_result(None)
