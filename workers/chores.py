"""What any worker does beside its stages, whichever it runs: due retries, waiting alerts, a shelf over its cap."""

from collections.abc import Callable
from math import inf

import structlog
from redis import Redis
from redis.exceptions import RedisError

from shared.alert import Alert, AlertKind
from shared.cloudevent import to_post
from shared.parked import Parked
from shared.post import Post
from shared.shelf import Shelf
from workers.source import Source, SourceDown

log = structlog.get_logger()


class Chores:
    """Done again and again, by every worker; each item is moved by whoever comes first."""

    def __init__(
        self, source: Source, redis: "Redis", prefix: str, unverified_max: int, clock: Callable[[], float]
    ) -> None:
        self._source = source
        self._prefix = prefix
        self._later = Shelf(redis, prefix, "later")
        self._outbox = Shelf(redis, prefix, "outbox")
        self._unverified = Shelf(redis, prefix, "unverified")
        self._unverified_max = unverified_max
        self._clock = clock

    def do(self) -> None:
        """All of them once; raises `SourceDown`."""
        try:
            due = [(parked.id, parked.post) for parked in self._later.due(self._clock()) if parked.post is not None]
            alerts = [(parked.id, self._alert(parked)) for parked in self._outbox.due(inf)]
            gone = self._unverified.trim(self._unverified_max)
        except RedisError as error:
            raise SourceDown(type(error).__name__) from error
        if gone:
            log.warning("unverified callbacks dropped, the oldest first", count=gone)
        if due:
            self._source.release(self._later, due, results=False)
        if alerts:
            self._source.release(self._outbox, alerts, results=True)

    def _alert(self, parked: Parked) -> Post:
        """As it was raised: whole, or by a script as its facts alone."""
        log.warning("alert", kind=parked.reason, account=parked.account, biz_id=parked.biz_id, cause=parked.detail)
        if parked.post is not None:
            return parked.post
        alert = Alert.of(
            AlertKind(parked.reason), parked.account, parked.at, parked.biz_id or None, cause=parked.detail or None
        )
        return to_post(alert, self._prefix)
