"""Follows the results queue without taking anything from it."""

import asyncio
from typing import Any

from redis import asyncio as redis_asyncio

from deploy.local.report import Arrived
from shared.cloudevent import from_event
from shared.decision import Decision


class Follower:
    """Reads decisions as they are published, from now on."""

    def __init__(self, redis_url: str, queue: str) -> None:
        self._redis = redis_asyncio.Redis.from_url(redis_url)
        self._queue = queue
        self._after = "0-0"
        self.arrived: list[Arrived] = []

    async def skip_old(self) -> None:
        """Leave out what is in the queue already."""
        newest: Any = await self._redis.xrevrange(self._queue, count=1)
        self._after = newest[0][0].decode() if newest else "0-0"

    async def follow(self) -> None:
        """Read, for ever."""
        while True:
            streams: Any = await self._redis.xread({self._queue: self._after}, count=500)
            for _, entries in streams or ():
                self._take(entries)
            await asyncio.sleep(0.02)

    async def close(self) -> None:
        """Let go of the connection."""
        await self._redis.aclose()

    def _take(self, entries: list[tuple[bytes, dict[bytes, bytes]]]) -> None:
        for place, fields in entries:
            self._after = place.decode()
            message = from_event(fields[b"body"])
            if isinstance(message, Decision):
                self.arrived.append(Arrived(message, int(place.partition(b"-")[0]) / 1000))
