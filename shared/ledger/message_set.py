"""Message sets: stored messages outside the queues, ordered by time: delayed, dead, unverified, outbox, tombstones.

A message set is a sorted set of item ids by time, and a hash of the items. The move that settles a message adds its
item (`put_commands`), and one script removes it (`lua/take.lua`), so an item is always in exactly one place. When an
operator drops an item, a tombstone without the message is added to the set `tombstones`.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import inf
from pathlib import Path
from typing import Final, Literal, cast

from redis import Redis
from redis.exceptions import ResponseError

from shared.ledger.case_key import message_set_keys
from shared.messaging.stored_message import StoredMessage

SCRIPTS = Path(__file__).parent / "lua"
PAGE: Final = 500
"""Items read at a time."""
MAX_TRIM: Final = 5000
"""Most items that one call of `trim` drops: Redis is blocked for a few milliseconds only."""
PAGE_BYTES: Final = 8_000_000
"""A page of large items is shortened to about this size, so that reading a message set needs little memory."""
SetName = Literal["delayed", "dead", "unverified", "tombstones", "outbox"]
Command = tuple[str | bytes | int, ...]


class TakeRefused(ResponseError):
    """Redis refused a command that belongs to taking an item, for example because a key has the wrong type.

    That item stays in the set. `results` has for each item True (taken), False (not there) or None (refused).
    """

    def __init__(self, reason: str, results: Sequence[bool | None]) -> None:
        super().__init__(reason)
        self.results = results


def put_commands(prefix: str, name: SetName, stored: StoredMessage) -> tuple[Command, ...]:
    """The Redis commands that add an item to a message set. Adding it again changes nothing."""
    ids, items = message_set_keys(prefix, name)
    return (("ZADD", ids, repr(stored.at), stored.id), ("HSET", items, stored.id, stored.dump()))


class MessageSet:
    """One message set in Redis. It is read in pages, so a long one needs little memory.

    Every method raises `redis.RedisError` when Redis fails.
    """

    def __init__(self, redis: "Redis", prefix: str, name: SetName) -> None:
        self._redis = redis
        self.name = name
        self._keys = message_set_keys(prefix, name)
        self._read_chunk = redis.register_script((SCRIPTS / "read.lua").read_text())
        self._claim = redis.register_script((SCRIPTS / "claim.lua").read_text())
        self._take = redis.register_script((SCRIPTS / "take.lua").read_text())
        self._trim = redis.register_script((SCRIPTS / "trim.lua").read_text())

    def __len__(self) -> int:
        return self._redis.zcard(self._keys[0])

    def __iter__(self) -> Iterator[StoredMessage]:
        """Every item, oldest first. Items taken during the iteration are left out; newer items added are included."""
        return self.between(-inf, inf)

    def between(self, since: float, until: float) -> Iterator[StoredMessage]:
        """The items from `since` to `until` (Unix seconds, both included), oldest first."""
        start, seen = since, set[bytes]()
        while True:
            page = cast(
                "list[tuple[bytes, float]]",
                self._redis.zrangebyscore(self._keys[0], start, until, start=0, num=len(seen) + PAGE, withscores=True),
            )
            unseen = [member for member, _ in page if member not in seen]
            if not unseen:
                return
            yield from self._read(unseen)
            last = page[-1][1]
            seen = {member for member, score in page if score == last} | (seen if last == start else set())
            start = last

    def count(self, since: float, until: float) -> int:
        """How many items there are from `since` to `until` (Unix seconds, both included)."""
        return self._redis.zcount(self._keys[0], since, until)

    def newest(self) -> float:
        """The latest time in the set, in Unix seconds. Minus infinity when it is empty."""
        last = cast("list[tuple[bytes, float]]", self._redis.zrange(self._keys[0], -1, -1, withscores=True))
        return last[0][1] if last else -inf

    def sample(self, most: int) -> Iterator[StoredMessage]:
        """At most `most` different items, chosen at random."""
        yield from self._read(cast("list[bytes]", self._redis.hrandfield(self._keys[1], most)))

    def get(self, ids: Iterable[str | bytes]) -> list[StoredMessage]:
        """The items of these ids. Ids that are not in the set are left out."""
        wanted = list(ids)
        if not wanted:
            return []
        found = cast("list[bytes | None]", self._redis.hmget(self._keys[1], wanted))
        return [StoredMessage.load(raw) for raw in found if raw is not None]

    def due(self, now: float, most: int = PAGE) -> list[StoredMessage]:
        """At most `most` items whose time is `now` (Unix seconds) or earlier, oldest first."""
        ids = cast("list[bytes]", self._redis.zrangebyscore(self._keys[0], "-inf", now, start=0, num=most))
        return self.get(ids)

    def claim(self, ids: Sequence[str], seconds: float) -> dict[str, float]:
        """Postpone due items by `seconds`. Returns those that this call has postponed, with their new time.

        For work that can't be done in the same step as `take`. Until the new time no other worker finds them due.
        """
        if not ids:
            return {}
        at, *claimed = cast("list[bytes]", self._claim(keys=self._keys[:1], args=(seconds, *ids)))
        return {item.decode(): float(at) for item in claimed}

    def take(self, items: Sequence[tuple[str, Sequence[Command]]], at: Mapping[str, float] | None = None) -> list[bool]:
        """Remove items by id and run the commands of each in the same step. False for an item that was not there.

        `at` has the time that each item must still have: an item with another time was added again since, and stays.
        Raises `TakeRefused` when Redis refused a command. The other items are taken.
        """
        if not items:
            return []
        arguments: list[str | bytes | int] = []
        for item, commands in items:
            arguments += (item, repr(at[item]) if at is not None else "", len(commands))
            for command in commands:
                arguments += (len(command), *command)
        replies = cast("list[int | bytes]", self._take(keys=self._keys, args=arguments))
        refusals = [reply for reply in replies if isinstance(reply, bytes)]
        if refusals:
            results = [None if isinstance(reply, bytes) else reply == 1 for reply in replies]
            raise TakeRefused(refusals[0].decode(errors="replace"), results)
        return [reply == 1 for reply in replies]

    def trim(self, cap: int) -> int:
        """Drop the oldest items above `cap`, at most `MAX_TRIM`. Returns how many were dropped."""
        return cast("int", self._trim(keys=self._keys, args=(cap, MAX_TRIM)))

    def _read(self, ids: Sequence[bytes]) -> Iterator[StoredMessage]:
        """The items of these ids, in chunks of about `PAGE_BYTES`."""
        while ids:
            count, found = cast(
                "tuple[int, list[bytes]]", self._read_chunk(keys=self._keys[1:], args=(PAGE_BYTES, *ids))
            )
            yield from map(StoredMessage.load, found)
            ids = ids[count:]
