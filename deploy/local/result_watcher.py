"""Watch the published decisions on any broker without consuming them."""

import asyncio
import base64
import json
import threading
import time
from typing import Any, Final, Protocol

from redis import asyncio as redis_asyncio
from redis.asyncio.retry import Retry
from redis.backoff import ConstantBackoff

from deploy.local.report import ReceivedDecision
from shared.brokers.rabbitmq_listener import Listener
from shared.events.cloudevent import from_event
from shared.events.decision import Decision
from shared.messaging.engine import STOCK_PREFIX, engine_of
from shared.messaging.topology import DECISIONS, queue_name
from shared.redis_servers.clients import open_async_client, open_client

POLL_INTERVAL: Final = 0.02
"""Seconds between two reads."""
CONNECT_SECONDS: Final = 30.0
RETRIES: Final = 20
RETRY_PAUSE: Final = 0.25
"""Seconds. Reading a stream or a list again changes nothing, so a broken connection is no reason to end."""


class ResultWatcher(Protocol):
    """Collects the decisions that are published after it was made."""

    received: list[ReceivedDecision]

    async def watch(self) -> None:
        """Collect decisions until cancelled."""

    async def close(self) -> None:
        """Close the connection."""


def can_watch(results_url: str) -> bool:
    """Whether the results at this URL can be read without consuming them. An empty URL is Redis Streams."""
    return not results_url or engine_of(results_url) != "stock" or _is_on_redis_lists(results_url)


def open_watcher(results_url: str, prefix: str) -> ResultWatcher:
    """The watcher for a URL for which `can_watch` is true. Raises `BrokerUnavailable`."""
    queue = queue_name(prefix, DECISIONS)
    match engine_of(results_url):
        case "streams":
            return StreamsWatcher(results_url, queue)
        case "rabbit":
            return RabbitWatcher(results_url, prefix)
        case "stock":
            return ListWatcher(results_url.removeprefix(STOCK_PREFIX), queue)


class StreamsWatcher:
    """Reads the stream outside its consumer groups."""

    def __init__(self, redis_url: str, queue: str) -> None:
        """Decisions published from now on are collected. Raises `redis.RedisError`."""
        with open_client(redis_url, CONNECT_SECONDS, CONNECT_SECONDS) as redis:
            newest: Any = redis.xrevrange(queue, count=1)
        self._after = newest[0][0].decode() if newest else "0-0"
        self._redis = _open(redis_url)
        self._queue = queue
        self.received: list[ReceivedDecision] = []

    async def watch(self) -> None:
        """Collect decisions until cancelled."""
        while True:
            streams: Any = await self._redis.xread({self._queue: self._after}, count=500)
            for _, entries in streams or ():
                for entry_id, fields in entries:
                    self._after = entry_id.decode()
                    _add(self.received, fields[b"body"], int(entry_id.partition(b"-")[0]) / 1000)
            await asyncio.sleep(POLL_INTERVAL)

    async def close(self) -> None:
        """Close the connection."""
        await self._redis.aclose()


class ListWatcher:
    """Reads the list in which kombu's own Redis transport keeps a queue. The newest message is the first."""

    def __init__(self, redis_url: str, queue: str) -> None:
        """Decisions published from now on are collected. Raises `redis.RedisError`."""
        with open_client(redis_url, CONNECT_SECONDS, CONNECT_SECONDS) as redis:
            self._seen = redis.llen(queue)
        self._redis = _open(redis_url)
        self._queue = queue
        self.received: list[ReceivedDecision] = []

    async def watch(self) -> None:
        """Collect decisions until cancelled. Misses decisions if a consumer takes them."""
        while True:
            count = int(await self._redis.llen(self._queue))
            found = await self._redis.lrange(self._queue, -count, -self._seen - 1) if count > self._seen else []
            for raw in reversed(found):
                message = json.loads(raw)
                _add(self.received, base64.b64decode(message["body"]), time.time())
            self._seen += len(found)
            await asyncio.sleep(POLL_INTERVAL)

    async def close(self) -> None:
        """Close the connection."""
        await self._redis.aclose()


class RabbitWatcher:
    """Binds its own queue to the exchange."""

    def __init__(self, url: str, prefix: str) -> None:
        """Decisions published from now on are collected. Raises `BrokerUnavailable`."""
        self._listener = Listener(url, prefix, ("decision.#",))
        self._lock = threading.Lock()
        """A cancelled `watch` may still receive in its thread when `close` runs in another one."""
        self.received: list[ReceivedDecision] = []

    async def watch(self) -> None:
        """Collect decisions until cancelled. Raises `BrokerUnavailable`."""
        while True:
            for body in await asyncio.to_thread(self._receive):
                _add(self.received, body, time.time())

    async def close(self) -> None:
        """Close the connection."""
        await asyncio.to_thread(self._close)

    def _receive(self) -> list[bytes]:
        with self._lock:
            return self._listener.receive(POLL_INTERVAL)

    def _close(self) -> None:
        with self._lock:
            self._listener.close()


def _open(url: str) -> "redis_asyncio.Redis":
    return open_async_client(url, retry=Retry(ConstantBackoff(RETRY_PAUSE), RETRIES))


def _add(received: list[ReceivedDecision], event: bytes, at: float) -> None:
    message = from_event(event)
    if isinstance(message, Decision):
        received.append(ReceivedDecision(message, at))


def _is_on_redis_lists(results_url: str) -> bool:
    return engine_of(results_url.removeprefix(STOCK_PREFIX)) == "streams"
