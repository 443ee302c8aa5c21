"""What any worker does beside its stages, whichever it runs: due retries, the outbox, a message set over its cap."""

from collections.abc import Callable

import structlog
from redis import Redis
from redis.exceptions import RedisError

from shared.ledger.message_set import MessageSet
from shared.messaging.errors import BrokerUnavailable
from workers.maintenance.outbox_relay import OutboxRelay
from workers.runtime.source import Source

log = structlog.get_logger()


class DelayedScheduler:
    """Done again and again, by every worker; each item is moved by whoever comes first."""

    def __init__(
        self, source: Source, redis: "Redis", prefix: str, unverified_max: int, clock: Callable[[], float]
    ) -> None:
        self._source = source
        self._delayed = MessageSet(redis, prefix, "delayed")
        self._outbox = OutboxRelay(source, redis, prefix)
        self._unverified = MessageSet(redis, prefix, "unverified")
        self._unverified_max = unverified_max
        self._clock = clock

    def do(self) -> None:
        """All of them once; raises `BrokerUnavailable`."""
        try:
            due = [
                (stored.id, stored.message) for stored in self._delayed.due(self._clock()) if stored.message is not None
            ]
            gone = self._unverified.trim(self._unverified_max)
        except RedisError as error:
            raise BrokerUnavailable(type(error).__name__) from error
        if gone:
            log.warning("unverified.trimmed", count=gone)
        if due:
            self._source.release(self._delayed, due, results=False)
        self._outbox.empty()
