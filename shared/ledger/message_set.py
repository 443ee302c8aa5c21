"""Message sets: stored messages outside the queues, ordered by time: delayed, dead, unverified, outbox, tombstones.

A message set is a sorted set of item ids by time, and a hash of the items. The move that settles a message adds its
item (`store_command`), and one script removes it (`lua/take.lua`), so an item is always in exactly one place. When an
operator drops an item, a tombstone without the message is added to the set `tombstones`.

The bytes of all items of `unverified` are kept in a key of their own. Every script that adds or removes items keeps it.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf
from pathlib import Path
from typing import Final, Literal, NamedTuple, cast

from redis import Redis
from redis.exceptions import ResponseError

from shared.ledger.case_key import bytes_key, message_set_keys, trimmed_key
from shared.messaging.errors import Undecodable
from shared.messaging.stored_message import StoredMessage
from shared.redis_servers.refusals import refusal_code
from shared.streams.scripts import STORE

SCRIPTS = Path(__file__).parent / "lua"
PAGE: Final = 500
"""Items read at a time."""
MAX_TRIM: Final = 1000
"""Most items that one call of `trim` drops: Redis is blocked for a few milliseconds only."""
PAGE_BYTES: Final = 8_000_000
"""A page of large items is shortened to about this size, so that reading a message set needs little memory."""
SetName = Literal["delayed", "dead", "unverified", "tombstones", "outbox"]
COUNTED: Final[frozenset[SetName]] = frozenset({"unverified"})
"""The sets whose bytes are counted."""
RUN_STORE: Final = STORE + "return perform(1, #ARGV)"
Command = tuple[str | bytes | int, ...]


class TakeRefused(ResponseError):
    """Redis refused a command that belongs to taking an item, for example because a key has the wrong type.

    That item stays in the set. `results` has for each item True (taken), False (not there) or None (refused).
    """

    def __init__(self, reason: str, results: Sequence[bool | None]) -> None:
        super().__init__(reason)
        self.results = results


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a message set may hold. None: anything. The oldest items above a bound are dropped."""

    seconds: float | None = None
    """Longest age of an item, by Redis's clock."""
    items: int | None = None
    bytes: int | None = None
    """Of all items. None, in a set whose bytes are counted: 5 % of Redis's maxmemory, or 64 MiB without maxmemory."""
    memory_share: float | None = None
    """Share of Redis's maxmemory, 0 to 1. While Redis uses more, every item is dropped."""


class Trimmed(NamedTuple):
    """How many items were dropped, by the bound that they were over."""

    age: int
    items: int
    bytes: int
    memory: int


def put_commands(prefix: str, name: SetName, stored: StoredMessage) -> tuple[Command, ...]:
    """The Redis commands that add an item to a message set other than `COUNTED`. Adding it again changes nothing."""
    ids, items = message_set_keys(prefix, name)
    return (("ZADD", ids, repr(stored.at), stored.id), ("HSET", items, stored.id, stored.dump()))


def store_command(prefix: str, name: SetName, stored: StoredMessage, later: float = 0.0) -> Command:
    """The command that adds an item to any message set, with the time of Redis's clock instead of `stored.at`.

    `later`: so many seconds after that time. It is no command of Redis: run it with `run_commands`, or as a command of
    a `Move`.
    """
    counted = bytes_key(prefix, name) if name in COUNTED else ""
    time = f"+{later:.6f}" if later else ""
    return ("STORE", *message_set_keys(prefix, name), counted, time, stored.id, stored.dump())


def run_commands(redis: "Redis", commands: Iterable[Command]) -> list[str]:
    """Run these commands, one after another, in one round trip.

    Returns for each the code of its error if Redis refuses it for good, else an empty text. Raises `redis.RedisError`
    for any other error: some commands may have run.
    """
    with redis.pipeline(transaction=False) as pipe:
        for command in commands:
            if command[0] == "STORE":
                pipe.eval(RUN_STORE, 0, *command)
            else:
                pipe.execute_command(*command)
        replies = pipe.execute(raise_on_error=False)
    codes = [refusal_code(reply) if isinstance(reply, Exception) else "" for reply in replies]
    for reply, code in zip(replies, codes, strict=True):
        if isinstance(reply, Exception) and not code:
            raise reply
    return codes


class MessageSet:
    """One message set in Redis. It is read in pages, so a long one needs little memory.

    Every method raises `redis.RedisError` when Redis fails.
    """

    def __init__(self, redis: "Redis", prefix: str, name: SetName) -> None:
        self._redis = redis
        self.name = name
        self._keys = message_set_keys(prefix, name)
        self._counted = (bytes_key(prefix, name),) if name in COUNTED else ()
        self._trimmed = trimmed_key(prefix)
        self._read_chunk = redis.register_script((SCRIPTS / "read.lua").read_text())
        self._prefix = prefix
        self._bury = redis.register_script((SCRIPTS / "bury.lua").read_text())
        self._claim = redis.register_script((SCRIPTS / "claim.lua").read_text())
        self._take = redis.register_script((SCRIPTS / "take.lua").read_text())
        self._trim = redis.register_script(STORE + (SCRIPTS / "trim.lua").read_text())
        self._cap_delays = redis.register_script((SCRIPTS / "cap_delays.lua").read_text())

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

    def oldest(self) -> float:
        """The earliest time in the set, in Unix seconds. Infinity when it is empty."""
        first = cast("list[tuple[bytes, float]]", self._redis.zrange(self._keys[0], 0, 0, withscores=True))
        return first[0][1] if first else inf

    def newest(self) -> float:
        """The latest time in the set, in Unix seconds. Minus infinity when it is empty."""
        last = cast("list[tuple[bytes, float]]", self._redis.zrange(self._keys[0], -1, -1, withscores=True))
        return last[0][1] if last else -inf

    def sample(self, most: int) -> Iterator[StoredMessage]:
        """At most `most` different items, chosen at random."""
        yield from self._read(cast("list[bytes]", self._redis.hrandfield(self._keys[1], most)))

    def get(self, ids: Iterable[str | bytes]) -> list[StoredMessage]:
        """The items of these ids. Ids that are not in the set are left out."""
        return list(self._read(list(ids)))

    def due(self, now: float, most: int = PAGE) -> list[StoredMessage]:
        """At most `most` items whose time is `now` (Unix seconds) or earlier, oldest first.

        An id without an item is removed.
        """
        ids = cast("list[bytes]", self._redis.zrangebyscore(self._keys[0], "-inf", now, start=0, num=most))
        found = self.get(ids)
        if len(found) < len(ids):
            known = {stored.id for stored in found}
            for lost in (item_id for item_id in ids if item_id.decode(errors="replace") not in known):
                self._bury(keys=(*self._keys, *message_set_keys(self._prefix, "dead")), args=(lost, "", "", ""))
        return found

    def claim(self, ids: Sequence[str], seconds: float) -> dict[str, float]:
        """Postpone due items by `seconds`. Returns those that this call has postponed, with their new time.

        For work that can't be done in the same step as `take`. Until the new time no other worker finds them due.
        """
        if not ids:
            return {}
        at, *claimed = cast("list[bytes]", self._claim(keys=self._keys[:1], args=(seconds, *ids)))
        return {item.decode(): float(at) for item in claimed}

    def bury(self, unreadable: StoredMessage) -> bool:
        """Move an item that can't be read to the dead letters, in one step. False when it is another item by now."""
        raw = unreadable.raw or cast("bytes | None", self._redis.hget(self._keys[1], unreadable.id)) or b""
        letter = replace(unreadable, raw=raw).dead_letter(self.name)
        arguments = (unreadable.id, raw, letter.id, letter.dump())
        return bool(self._bury(keys=(*self._keys, *message_set_keys(self._prefix, "dead")), args=arguments))

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
        replies = cast("list[int | bytes]", self._take(keys=(*self._keys, *self._counted), args=arguments))
        refusals = [reply for reply in replies if isinstance(reply, bytes)]
        if refusals:
            results = [None if isinstance(reply, bytes) else reply == 1 for reply in replies]
            raise TakeRefused(refusals[0].decode(errors="replace"), results)
        return [reply == 1 for reply in replies]

    def trim(self, bounds: Bounds) -> Trimmed:
        """Drop the oldest items above the bounds, at most `MAX_TRIM`. Works in a full Redis too."""
        limits = (bounds.seconds, bounds.items, bounds.bytes, bounds.memory_share)
        arguments = (MAX_TRIM, self.name, *("" if limit is None else limit for limit in limits))
        return Trimmed(*self._trim(keys=(*self._keys, self._trimmed, *self._counted), args=arguments))

    def deleted(self) -> int:
        """How many items `trim` has dropped so far."""
        return int(cast("bytes | None", self._redis.hget(self._trimmed, self.name)) or 0)

    def cap_delays(self, seconds: float) -> int:
        """Make due at once what is due later than in `seconds`, at most `MAX_TRIM` items. Returns how many."""
        return cast("int", self._cap_delays(keys=self._keys[:1], args=(seconds, MAX_TRIM)))

    def _read(self, ids: Sequence[str | bytes]) -> Iterator[StoredMessage]:
        """The items of these ids, in chunks of about `PAGE_BYTES`. Each has its time in the sorted set."""
        while ids:
            count, found, times = cast(
                "tuple[int, list[bytes | None], list[bytes]]",
                self._read_chunk(keys=self._keys[::-1], args=(PAGE_BYTES, *ids)),
            )
            for item_id, raw, at in zip(ids, found, times, strict=False):
                if raw is not None:
                    stored = self._load(item_id, raw)
                    yield replace(stored, at=float(at)) if at else stored
            ids = ids[count:]

    def _load(self, item_id: str | bytes, raw: bytes) -> StoredMessage:
        name = item_id.decode(errors="replace") if isinstance(item_id, bytes) else item_id
        try:
            return replace(StoredMessage.load(raw), id=name)
        except Undecodable as fault:
            return StoredMessage.unreadable(name, "publish" if self.name == "outbox" else "verify", raw, fault)
