"""How long results stay in their streams: until every group has read them, and no longer than the retention."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple, Self

import structlog
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError
from redis.retry import Retry

from shared.messaging.engine import engine_of
from shared.messaging.topology import RESULT_QUEUES, queue_name

INTERVAL: Final = 30.0
"""Seconds between two looks."""
TIMEOUT: Final = 1.0
DAY_MS: Final = 86_400_000

log = structlog.get_logger()


class Place(NamedTuple):
    """Where in a stream: an entry id."""

    milliseconds: int
    number: int

    @classmethod
    def of(cls, entry_id: bytes) -> Self:
        """The place of an entry."""
        milliseconds, _, number = entry_id.partition(b"-")
        return cls(int(milliseconds), int(number))

    @property
    def following(self) -> "Place":
        """The place right behind it."""
        return Place(self.milliseconds, self.number + 1)

    def __str__(self) -> str:
        return f"{self.milliseconds}-{self.number}"


class Retention:
    """Trims the result streams of one Redis; any number of processes may do it at once."""

    def __init__(self, redis: "Redis", streams: Sequence[str], days: float, clock: Callable[[], float]) -> None:
        """`clock` tells Unix seconds, as the Redis server's own does, more or less: it numbers the entries by them."""
        self._redis = redis
        self._streams = streams
        self._keep_ms = days * DAY_MS
        self._clock = clock
        self._due_at = 0.0
        self._away = False

    @classmethod
    def opened(cls, url: str, prefix: str, days: float, clock: Callable[[], float]) -> "Retention | None":
        """Of the results at this URL, not yet connected; None where they are not on streams."""
        if engine_of(url) != "streams":
            return None
        no_retry = Retry(NoBackoff(), 0)  # it runs on the pump's thread: the next look is the retry
        redis = Redis.from_url(url, socket_timeout=TIMEOUT, socket_connect_timeout=TIMEOUT, retry=no_retry)
        return cls(redis, [queue_name(prefix, queue) for queue in RESULT_QUEUES], days, clock)

    def do_when_due(self) -> None:
        """Trim twice a minute; a Redis that is away is left alone until the next time."""
        if (now := self._clock()) < self._due_at:
            return
        self._due_at = now + INTERVAL
        try:
            self.do()
        except RedisError as error:
            if not self._away:
                log.warning("retention.failed", error=type(error).__name__)
            self._away = True
        else:
            self._away = False

    def do(self) -> None:
        """Remove what every group has acknowledged, then what is too old for any."""
        oldest = Place(int(self._clock() * 1000 - self._keep_ms), 0)
        for stream in self._streams:
            unsettled = sorted(
                (self._first_unsettled(stream, group), group["name"].decode()) for group in self._groups(stream)
            )
            if unsettled:
                self._trim(stream, unsettled[0][0])
            self._expire(stream, oldest, [(place, group) for place, group in unsettled if place < oldest])

    def _expire(self, stream: str, oldest: Place, behind: Sequence[tuple[Place, str]]) -> None:
        """Remove what is too old, step by step, to count it for each of the groups that were behind."""
        lost = dict.fromkeys([group for _, group in behind], 0)
        expired = 0
        for passed, until in enumerate([*(place for place, _ in behind[1:]), oldest], start=1):
            count = self._trim(stream, until)
            expired += count
            for _, group in behind[:passed]:
                lost[group] += count
        if expired:
            log.warning("results.expired", queue=stream, count=expired, unread_by=lost)

    def _first_unsettled(self, stream: str, group: Mapping[str, Any]) -> Place:
        """All before it is acknowledged by the group; not all behind it is unread, where one is long in work."""
        pending = self._redis.xpending(stream, group["name"])
        if pending["pending"]:
            return Place.of(pending["min"])
        return Place.of(group["last-delivered-id"]).following

    def _trim(self, stream: str, first_kept: Place) -> int:
        return self._redis.xtrim(stream, minid=str(first_kept), approximate=False)

    def _groups(self, stream: str) -> list[dict[str, Any]]:
        try:
            return self._redis.xinfo_groups(stream)
        except ResponseError:  # no such stream yet
            return []
