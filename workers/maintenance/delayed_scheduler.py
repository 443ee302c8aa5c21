"""What any worker does beside its stages, whichever it runs: due retries, the outbox, a shelf over its cap."""

from collections.abc import Callable

import structlog
from redis import Redis
from redis.exceptions import RedisError

from shared.ledger.message_set import Shelf
from workers.maintenance.outbox_relay import Outbox
from workers.runtime.source import Source, SourceDown

log = structlog.get_logger()


class Chores:
    """Done again and again, by every worker; each item is moved by whoever comes first."""

    def __init__(
        self, source: Source, redis: "Redis", prefix: str, unverified_max: int, clock: Callable[[], float]
    ) -> None:
        self._source = source
        self._later = Shelf(redis, prefix, "later")
        self._outbox = Outbox(source, redis, prefix)
        self._unverified = Shelf(redis, prefix, "unverified")
        self._unverified_max = unverified_max
        self._clock = clock

    def do(self) -> None:
        """All of them once; raises `SourceDown`."""
        try:
            due = [(parked.id, parked.post) for parked in self._later.due(self._clock()) if parked.post is not None]
            gone = self._unverified.trim(self._unverified_max)
        except RedisError as error:
            raise SourceDown(type(error).__name__) from error
        if gone:
            log.warning("unverified callbacks dropped, the oldest first", count=gone)
        if due:
            self._source.release(self._later, due, results=False)
        self._outbox.empty()
