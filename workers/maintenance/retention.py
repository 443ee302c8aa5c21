"""Trim the result streams and what consumers store beside them.

Results are deleted when every group has acknowledged them, or when they are older than the retention. Dead letters of
consumers are deleted when they are older than the retention. Ages are by the clock of the Redis that holds the results.
While that clock and this machine's differ too much, nothing is deleted for its age.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from math import inf
from typing import Any, Final, NamedTuple, Self

import structlog
from redis import Redis
from redis.exceptions import RedisError, ResponseError

from shared.messaging.engine import engine_of
from shared.messaging.topology import RESULT_QUEUES, queue_name
from shared.redis_servers.clients import open_client
from shared.redis_servers.clock import RedisClock
from workers.maintenance.consumer_dead_letters import ConsumerDeadLetters

INTERVAL: Final = 30.0
"""Seconds between two trims by one worker."""
TIMEOUT: Final = 1.0
"""Seconds to wait for a connection or a reply."""
DAY_MS: Final = 86_400_000

log = structlog.get_logger()


class EntryId(NamedTuple):
    """The id of a stream entry: `MILLISECONDS-NUMBER`, in the order of the stream."""

    milliseconds: int
    number: int

    @classmethod
    def parse(cls, entry_id: bytes) -> Self:
        """The id as Redis writes it."""
        milliseconds, _, number = entry_id.partition(b"-")
        return cls(int(milliseconds), int(number))

    @property
    def following(self) -> "EntryId":
        """The next possible id."""
        return EntryId(self.milliseconds, self.number + 1)

    def __str__(self) -> str:
        return f"{self.milliseconds}-{self.number}"


class Retention:
    """Trims the result streams of one Redis. Several workers may do it at the same time."""

    def __init__(
        self,
        redis: "Redis",
        streams: Sequence[str],
        days: float,
        clock: Callable[[], float],
        wall: Callable[[], float] = time.time,
    ) -> None:
        """`days`: the retention. `clock` returns seconds that are never set, `wall` Unix seconds."""
        self._redis = redis
        self._streams = streams
        self._keep_ms = days * DAY_MS
        self._dead_letters = ConsumerDeadLetters(redis, streams, self._keep_ms)
        self._clock = clock
        self._redis_clock = RedisClock(redis, wall, clock)
        self._due_at = -inf
        self._unreachable = False

    @classmethod
    def opened(cls, url: str, prefix: str, days: float, clock: Callable[[], float]) -> "Retention | None":
        """The retention of the results at a URL, not yet connected. None when the results are not on Redis Streams."""
        if engine_of(url) != "streams":
            return None
        redis = open_client(url, TIMEOUT, TIMEOUT)
        return cls(redis, [queue_name(prefix, queue) for queue in RESULT_QUEUES], days, clock)

    def run(self) -> None:
        """Trim if `INTERVAL` has passed. If Redis fails, log it once and try again after the next interval."""
        if (now := self._clock()) < self._due_at:
            return
        self._due_at = now + INTERVAL
        try:
            self._redis_clock.measure()
            self.trim()
            if not self._redis_clock.is_skewed:
                self._dead_letters.trim()
        except RedisError as error:
            if not self._unreachable:
                log.warning("retention.failed", error=type(error).__name__)
            self._unreachable = True
        else:
            self._unreachable = False

    def trim(self) -> None:
        """Remove the results that every group has acknowledged, then those that are too old. Raises `RedisError`."""
        oldest = EntryId(int(self._redis_clock() * 1000 - self._keep_ms), 0)
        for stream in self._streams:
            unsettled = sorted(
                (self._first_unsettled(stream, group), group["name"].decode()) for group in self._groups(stream)
            )
            if unsettled:
                self._trim(stream, unsettled[0][0])
            if not self._redis_clock.is_skewed:
                self._expire(stream, oldest, [(entry_id, group) for entry_id, group in unsettled if entry_id < oldest])

    def _expire(self, stream: str, oldest: EntryId, behind: Sequence[tuple[EntryId, str]]) -> None:
        """Remove what is older than `oldest`, in steps, to count the lost results of each group in `behind`."""
        unread_by = dict.fromkeys([group for _, group in behind], 0)
        expired = 0
        for groups, until in enumerate([*(entry_id for entry_id, _ in behind[1:]), oldest], start=1):
            count = self._trim(stream, until)
            expired += count
            for _, group in behind[:groups]:
                unread_by[group] += count
        if expired:
            log.warning("results.expired", queue=stream, count=expired, unread_by=unread_by)

    def _first_unsettled(self, stream: str, group: Mapping[str, Any]) -> EntryId:
        """The oldest entry that the group has not acknowledged. Newer ones may be acknowledged already."""
        pending = self._redis.xpending(stream, group["name"])
        if pending["pending"]:
            return EntryId.parse(pending["min"])
        return EntryId.parse(group["last-delivered-id"]).following

    def _trim(self, stream: str, first_kept: EntryId) -> int:
        return self._redis.xtrim(stream, minid=str(first_kept), approximate=False)

    def _groups(self, stream: str) -> list[dict[str, Any]]:
        try:
            return self._redis.xinfo_groups(stream)
        except ResponseError:  # no such stream yet
            return []
