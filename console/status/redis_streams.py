"""Queue statistics of Redis Streams."""

from typing import Any, cast

from redis import Redis
from redis.exceptions import ResponseError

from console.status.snapshot import Depth, Reader, Results, server_time
from shared.messaging.topology import GROUP
from shared.streams.scripts import HANDED_BACK


class RedisStreamsStats:
    """Statistics of one Redis. Ages are those at the time when this is made."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._now = server_time(redis)

    def depth(self, queue: str) -> Depth:
        """The depth of a queue that the workers read."""
        length = self._redis.xlen(queue)
        consumers = _consumers(self._redis, queue, GROUP)
        in_work = sum(consumer["pending"] for consumer in consumers if consumer["name"] != HANDED_BACK.encode())
        return Depth(max(0, length - in_work), in_work, self._age(self._first(queue, "-")), readers=None)

    def results(self, name: str, queue: str) -> Results:
        """A results queue and its consumer groups."""
        try:
            groups = self._redis.xinfo_groups(queue)
        except ResponseError as error:
            if not str(error).startswith("no such key"):
                raise
            return Results(name, 0, ())
        readers = tuple(self._reader(queue, group) for group in groups)
        return Results(name, self._redis.xlen(queue), readers)

    def _reader(self, queue: str, group: dict[str, Any]) -> Reader:
        name = group["name"].decode()
        consumers = [row for row in _consumers(self._redis, queue, name) if row["name"] != HANDED_BACK.encode()]
        pending = self._redis.xpending(queue, name)
        next_entry = self._first(queue, f"({group['last-delivered-id'].decode()}")
        lag = group.get("lag")
        return Reader(
            name=name,
            consumers=len(consumers),
            waiting=0 if next_entry is None else lag,
            in_work=pending["pending"],
            behind_seconds=max(self._age(pending["min"]), self._age(next_entry)),
            seen_seconds=min((row["idle"] / 1000 for row in consumers), default=None),
        )

    def _first(self, queue: str, after: str) -> bytes | None:
        found = cast("list[tuple[bytes, Any]]", self._redis.xrange(queue, min=after, count=1))
        return found[0][0] if found else None

    def _age(self, entry: bytes | None) -> float:
        """Seconds since an entry was added; 0 without an entry."""
        return max(0.0, self._now - int(entry.partition(b"-")[0]) / 1000) if entry else 0.0


def _consumers(redis: Redis, queue: str, group: str) -> list[dict[str, Any]]:
    try:
        return redis.xinfo_consumers(queue, group)
    except ResponseError as error:
        if not str(error).startswith(("NOGROUP", "no such key")):
            raise
        return []  # the queue or the group does not exist yet
