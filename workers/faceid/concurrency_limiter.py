"""Limit how many GetResult calls an account has in flight.

The limit begins small and doubles with each round of accepted calls, as in TCP's slow start. When FaceID answers
`CONCURRENCY_LIMIT_EXCEEDED`, the limit is lowered by a quarter. From then on it grows by one a round, and more slowly
while it is near the number of calls that was too many. FaceID limits the calls of an api_key, so every worker process
gets this answer, and each process lowers its own limit.
"""

import asyncio
from collections import deque
from math import inf
from typing import Final

from shared.item_clock import paused

FIRST_SIZE: Final = 4
"""Calls in flight at the start."""
PROBE_ROUNDS: Final = 32
"""Rounds of accepted calls after which the limit grows by one, while it is near the number that was too many."""
LOWERED: Final = 0.75
"""The share of the calls in flight that stays allowed after a refusal."""


class ConcurrencyLimiter:
    """An asyncio semaphore with a size that adapts, between 1 and `max_size`.

    Used as `async with limiter as generation:` around each call. `generation` is for `on_limit_exceeded`.
    """

    def __init__(self, max_size: int) -> None:
        self._max_size = float(max_size)
        self._size = float(min(max_size, FIRST_SIZE))
        self._too_many = inf
        """The calls in flight that FaceID refused last."""
        self._in_flight = 0
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._generation = 0

    @property
    def size(self) -> int:
        """How many calls may be in flight now."""
        return int(self._size)

    async def __aenter__(self) -> int:
        """Wait for a free place, first come, first served. Returns how often the limit has been lowered by then."""
        await self._enter()
        return self._generation

    async def __aexit__(self, *_: object) -> None:
        self._leave()

    def on_limit_exceeded(self, generation: int) -> None:
        """FaceID refused a call because too many were in flight: lower the limit, starting from the calls in flight.

        `generation`: what `async with` gave for the call. A call that was made before the limit was lowered last says
        nothing about the present limit.
        """
        if generation == self._generation:
            self._generation += 1
            self._too_many = min(self._size, float(self._in_flight))
            self._size = max(1.0, self._too_many * LOWERED)

    def on_success(self) -> None:
        """FaceID accepted a call: raise the limit by one for each call, or for each round of calls after a refusal."""
        if self._too_many == inf:
            growth = 1.0
        elif abs(self._size - self._too_many) <= 1:
            growth = 1 / self._size / PROBE_ROUNDS
        else:
            growth = 1 / self._size
        self._size = min(self._max_size, self._size + growth)

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
