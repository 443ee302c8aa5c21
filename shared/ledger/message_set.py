"""Message sets: items kept outside the queues, ordered by a time: delayed, dead, unverified, outbox, tombstones.

A message set is a sorted set of item ids by time, and a hash of the items. A stage's fenced move adds items (the
commands of `put_commands`) and removed by one script (`lua/take.lua`), so an item is always in exactly one place. When
an operator drops an item, a tombstone without the message is added to the set `tombstones`.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import inf
from pathlib import Path
from typing import Final, Literal, cast

from redis import Redis
from redis.exceptions import ResponseError

from shared.messaging.stored_message import StoredMessage

LUA = Path(__file__).parent / "lua"
PAGE: Final = 500
TRIM: Final = 5000
"""Items dropped in one call at most: a few milliseconds of Redis, and more in a second than anybody can post."""
PAGE_BYTES: Final = 8_000_000
"""A page of large items is cut, so that reading a message set needs little memory whatever lies on it."""
Name = Literal["delayed", "dead", "unverified", "tombstones", "outbox"]
Command = tuple[str | bytes | int, ...]


class TakeRefused(ResponseError):
    """Redis refused a command that was to follow an item off its message set, as for a key of the wrong type.

    That item stays. `results` has for each item True (taken), False (it had gone) or None (refused).
    """

    def __init__(self, reason: str, results: Sequence[bool | None]) -> None:
        super().__init__(reason)
        self.results = results


def put_commands(prefix: str, name: Name, stored: StoredMessage) -> tuple[Command, ...]:
    """The Redis commands that put an item on a message set; putting it again changes nothing."""
    key = f"{prefix}:{name}"
    return (("ZADD", key, repr(stored.at), stored.id), ("HSET", f"{key}:items", stored.id, stored.dump()))


class MessageSet:
    """One message set in Redis, read in pages so that a long one needs little memory."""

    def __init__(self, redis: "Redis", prefix: str, name: Name) -> None:
        self._redis = redis
        self.name = name
        self._keys = (f"{prefix}:{name}", f"{prefix}:{name}:items")
        self._fit = redis.register_script((LUA / "read.lua").read_text())
        self._claim = redis.register_script((LUA / "claim.lua").read_text())
        self._take = redis.register_script((LUA / "take.lua").read_text())
        self._trim = redis.register_script((LUA / "trim.lua").read_text())

    def __len__(self) -> int:
        return self._redis.zcard(self._keys[0])

    def __iter__(self) -> Iterator[StoredMessage]:
        """Every item, oldest first. What is taken meanwhile is left out; what is put behind is included."""
        return self.between(-inf, inf)

    def between(self, since: float, until: float) -> Iterator[StoredMessage]:
        """The items of these times, both included, oldest first; changes meanwhile as for all of them."""
        after, seen = since, set[bytes]()
        while True:
            page = cast(
                "list[tuple[bytes, float]]",
                self._redis.zrangebyscore(self._keys[0], after, until, start=0, num=len(seen) + PAGE, withscores=True),
            )
            fresh = [member for member, _ in page if member not in seen]
            if not fresh:
                return
            yield from self._read(fresh)
            last = page[-1][1]
            seen = {member for member, score in page if score == last} | (seen if last == after else set())
            after = last

    def count(self, since: float, until: float) -> int:
        """How many items are of these times, both included."""
        return self._redis.zcount(self._keys[0], since, until)

    def newest(self) -> float:
        """The latest time on the message set, in unix seconds; minus infinity when it is empty."""
        last = cast("list[tuple[bytes, float]]", self._redis.zrange(self._keys[0], -1, -1, withscores=True))
        return last[0][1] if last else -inf

    def sample(self, most: int) -> Iterator[StoredMessage]:
        """`most` different items by chance, or all of them where they are fewer."""
        yield from self._read(cast("list[bytes]", self._redis.hrandfield(self._keys[1], most)))

    def get(self, ids: Iterable[str | bytes]) -> list[StoredMessage]:
        """The items of these ids, as far as they are here."""
        wanted = list(ids)
        if not wanted:
            return []
        found = cast("list[bytes | None]", self._redis.hmget(self._keys[1], wanted))
        return [StoredMessage.load(raw) for raw in found if raw is not None]

    def due(self, now: float, most: int = PAGE) -> list[StoredMessage]:
        """Items whose time has come, by `now` in unix seconds."""
        ids = cast("list[bytes]", self._redis.zrangebyscore(self._keys[0], "-inf", now, start=0, num=most))
        return self.get(ids)

    def claim(self, ids: Sequence[str], seconds: float) -> dict[str, float]:
        """Put items that are due off by so many seconds; those that nobody else has put off before, with their new
        time.

        For what can't be done in one step with taking them: meanwhile nobody else finds them due.
        """
        if not ids:
            return {}
        at, *ours = cast("list[bytes]", self._claim(keys=self._keys[:1], args=(seconds, *ids)))
        return {item.decode(): float(at) for item in ours}

    def take(
        self, leaving: Sequence[tuple[str, Sequence[Command]]], at: Mapping[str, float] | None = None
    ) -> list[bool]:
        """Take items off by id, each together with the commands that put it elsewhere; False where it had gone.

        `at` has the times of items that may have come back meanwhile: one with another time now is another one, and
        stays. Raises `TakeRefused` when Redis refused a command of some of them; the others have left all the same.
        """
        if not leaving:
            return []
        words: list[str | bytes | int] = []
        for item, commands in leaving:
            words += (item, repr(at[item]) if at is not None else "", len(commands))
            for command in commands:
                words += (len(command), *command)
        replies = cast("list[int | bytes]", self._take(keys=self._keys, args=words))
        refusals = [reply for reply in replies if isinstance(reply, bytes)]
        if refusals:
            results = [None if isinstance(reply, bytes) else reply == 1 for reply in replies]
            raise TakeRefused(refusals[0].decode(errors="replace"), results)
        return [reply == 1 for reply in replies]

    def trim(self, cap: int) -> int:
        """Drop the oldest items over `cap`, a few thousand of them at most; returns how many went."""
        return cast("int", self._trim(keys=self._keys, args=(cap, TRIM)))

    def _read(self, ids: Sequence[bytes]) -> Iterator[StoredMessage]:
        """The items of these ids, a few at a time where they are large."""
        while ids:
            count, found = cast("tuple[int, list[bytes]]", self._fit(keys=self._keys[1:], args=(PAGE_BYTES, *ids)))
            yield from map(StoredMessage.load, found)
            ids = ids[count:]
