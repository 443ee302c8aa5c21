"""Follows the results from now on without taking anything from anybody, whichever broker carries them."""

import asyncio
import base64
import json
import time
from typing import Any, Final, Protocol

from redis import asyncio as redis_asyncio
from redis.asyncio.retry import Retry
from redis.backoff import ConstantBackoff

from deploy.local.report import Arrived
from shared.brokers.rabbitmq_listener import Listener
from shared.events.cloudevent import from_event
from shared.events.decision import Decision
from shared.messaging.engine import STOCK_PREFIX, engine_of
from shared.messaging.topology import DECISIONS, queue_name

LOOK: Final = 0.02
"""Seconds between two reads of a queue that can't be waited on."""
RETRIES: Final = 20
RETRY_PAUSE: Final = 0.25
"""Seconds. Reading a stream or a list again changes nothing, so a broken connection is no reason to end."""


class Follower(Protocol):
    """Notes decisions as they are published."""

    arrived: list[Arrived]

    async def follow(self) -> None:
        """Note them, for ever."""

    async def close(self) -> None:
        """Let go of the connection."""


def can_follow(results_url: str) -> bool:
    """Whether the results of this URL can be looked at without consuming them; nothing named is Redis."""
    return not results_url or engine_of(results_url) != "stock" or _is_in_lists(results_url)


def open_follower(results_url: str, prefix: str) -> Follower:
    """The follower for the broker of a URL that can be followed."""
    queue = queue_name(prefix, DECISIONS)
    match engine_of(results_url):
        case "streams":
            return StreamsFollower(results_url, queue)
        case "rabbit":
            return RabbitFollower(results_url, prefix)
        case "stock":
            return ListFollower(results_url.removeprefix(STOCK_PREFIX), queue)


class StreamsFollower:
    """Reads the stream beside its consumers."""

    def __init__(self, redis_url: str, queue: str) -> None:
        self._redis = _open(redis_url)
        self._queue = queue
        self._after = ""
        self.arrived: list[Arrived] = []

    async def follow(self) -> None:
        """Note decisions, for ever."""
        newest: Any = await self._redis.xrevrange(self._queue, count=1)
        self._after = newest[0][0].decode() if newest else "0-0"
        while True:
            streams: Any = await self._redis.xread({self._queue: self._after}, count=500)
            for _, entries in streams or ():
                for place, fields in entries:
                    self._after = place.decode()
                    _note(self.arrived, fields[b"body"], int(place.partition(b"-")[0]) / 1000)
            await asyncio.sleep(LOOK)

    async def close(self) -> None:
        """Let go of the connection."""
        await self._redis.aclose()


class ListFollower:
    """Looks at the list in which kombu's own Redis transport keeps a queue: its newest message is its first."""

    def __init__(self, redis_url: str, queue: str) -> None:
        self._redis = _open(redis_url)
        self._queue = queue
        self.arrived: list[Arrived] = []

    async def follow(self) -> None:
        """Note decisions, for ever, as long as nobody consumes them."""
        known = int(await self._redis.llen(self._queue))
        while True:
            count = int(await self._redis.llen(self._queue))
            found = await self._redis.lrange(self._queue, -count, -known - 1) if count > known else []
            for raw in reversed(found):
                message = json.loads(raw)
                _note(self.arrived, base64.b64decode(message["body"]), time.time())
            known += len(found)
            await asyncio.sleep(LOOK)

    async def close(self) -> None:
        """Let go of the connection."""
        await self._redis.aclose()


class RabbitFollower:
    """Binds a queue of its own to the exchange."""

    def __init__(self, url: str, prefix: str) -> None:
        """Hears from now on; raises `BrokerUnavailable`."""
        self._listener = Listener(url, prefix, ("decision.#",))
        self.arrived: list[Arrived] = []

    async def follow(self) -> None:
        """Note decisions, for ever; raises `BrokerUnavailable`."""
        while True:
            for body in await asyncio.to_thread(self._listener.receive, LOOK):
                _note(self.arrived, body, time.time())

    async def close(self) -> None:
        """Let go of the connection."""
        await asyncio.to_thread(self._listener.close)


def _open(url: str) -> "redis_asyncio.Redis":
    return redis_asyncio.Redis.from_url(url, retry=Retry(ConstantBackoff(RETRY_PAUSE), RETRIES))


def _note(arrived: list[Arrived], event: bytes, at: float) -> None:
    message = from_event(event)
    if isinstance(message, Decision):
        arrived.append(Arrived(message, at))


def _is_in_lists(results_url: str) -> bool:
    return engine_of(results_url.removeprefix(STOCK_PREFIX)) == "streams"
