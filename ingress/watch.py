"""Measure what decides whether a callback can be stored: the backlog, and the memory that its decisions will take."""

import time
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from shared.ledger.case_key import message_set_keys
from shared.ledger.memory_costs import Growth, growth_on
from shared.ledger.redis_client import open_redis
from shared.messaging.async_publisher import AsyncPublisher
from shared.messaging.engine import engine_of
from shared.messaging.memory import UNLIMITED, Memory
from shared.messaging.topology import INNER_QUEUES, queue_name
from shared.redis_servers.clock import SharedClock
from shared.settings import Settings

log = structlog.get_logger()
TIMEOUT: Final = 1.0
"""Seconds to wait for a connection or a reply of the ledger's Redis."""


class Measured(NamedTuple):
    """What was measured at one moment."""

    depths: Sequence[int]
    """Messages in each inner queue."""
    projected: Sequence[Memory]
    """The memory of each server once everything that waits is decided."""


class Watch:
    """Measures the queues' broker and the ledger's Redis, which may be the same server.

    While only the ledger's Redis can't be asked, its last memory counts: callbacks can still be stored in the queues.
    """

    def __init__(
        self, publisher: AsyncPublisher, redis: "Redis", prefix: str, *, ledger: Growth, broker: Growth | None
    ) -> None:
        """`redis`: the ledger's. `broker`: None when the queues are on the ledger's Redis."""
        self._publisher = publisher
        self._redis = redis
        self._queues = tuple(queue_name(prefix, queue) for queue in INNER_QUEUES)
        self._delayed_ids = message_set_keys(prefix, "delayed")[0]
        self._ledger = ledger
        self._broker = broker
        self._last: tuple[Memory, int] = (UNLIMITED, 0)
        self.clock = SharedClock()
        """The time by the clock of the ledger's Redis. The workers go by it too."""
        self._unreachable = False

    @classmethod
    def opened(cls, publisher: AsyncPublisher, settings: Settings) -> "Watch":
        """The watch over the servers of these settings, not yet connected."""
        redis = open_redis(settings.redis_url, socket_timeout=TIMEOUT, socket_connect_timeout=TIMEOUT)
        queues, results = settings.broker_url, settings.results_url
        ledger = growth_on(ledger=True, queues=queues == settings.redis_url, results=results == settings.redis_url)
        return cls(publisher, redis, settings.prefix, ledger=ledger, broker=_growth_on_broker(settings))

    async def measure(self) -> Measured:
        """Measure once. Raises `NotStored` when the broker can't be asked."""
        depths = await self._publisher.depths(self._queues)
        waiting, (memory, delayed) = sum(depths), await self._ledger_state()
        projected = [self._ledger.projected(memory, waiting, delayed)]
        if self._broker is not None:
            projected.append(self._broker.projected(await self._publisher.memory(), waiting, delayed))
        return Measured(depths, projected)

    async def close(self) -> None:
        """Close the connection to the ledger's Redis."""
        await self._redis.aclose()

    async def _ledger_state(self) -> tuple[Memory, int]:
        """The memory of the ledger's Redis and its delayed messages. Its time is measured in the same round trip."""
        asked_at = time.monotonic()
        try:
            async with self._redis.pipeline(transaction=False) as pipe:
                pipe.info("memory")
                pipe.zcard(self._delayed_ids)
                pipe.time()
                info, delayed, now = await pipe.execute(raise_on_error=False)
        except RedisError as error:
            if not self._unreachable:
                log.warning("ledger.unavailable", error=type(error).__name__)
            self._unreachable = True
        else:
            self._unreachable = False
            self._last = _memory(info), delayed if isinstance(delayed, int) else 0
            if not isinstance(now, Exception):
                self.clock.note(now, asked_at)
        return self._last


def _memory(info: Any) -> Memory:
    """The memory, unless Redis forbids INFO, as some managed servers do."""
    return UNLIMITED if isinstance(info, Exception) else Memory.of(info)


def _growth_on_broker(settings: Settings) -> Growth | None:
    if settings.broker_url == settings.redis_url:
        return None
    if engine_of(settings.broker_url) == "streams":
        return growth_on(ledger=False, queues=True, results=settings.results_url == settings.broker_url)
    return Growth(0, 0)  # RabbitMQ reports an alarm, and no bytes
