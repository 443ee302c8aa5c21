"""Messages that come again, let through a few at a time: one of them may be what killed the worker that had it.

A quorum queue counts a delivery for all that its dead consumer had prefetched, so its count condemns the neighbours.
Here only those are counted that are let through, in the ledger's Redis and before that; a settlement ends the count.
"""

from bisect import insort
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from time import monotonic
from typing import Final, cast

from redis import Redis
from redis.exceptions import RedisError

from workers.runtime.delivery import Delivery

PROBATION_SECONDS: Final = 0.05
"""How long those let through are watched: what kills does so at once."""
AWAY_SECONDS: Final = 0.5
"""Rest after Redis could not be asked; nothing is let through uncounted."""
COUNT_LIFE: Final = 86_400
"""Seconds that a count outlives its last trial."""


@dataclass(slots=True)
class Probation:
    """A suspect that was let through: how often that was, this time included, and when."""

    count: int
    since: float

    def open(self, now: float) -> bool:
        """Whether it may still turn out to be the killer; after a second death it is until it is settled."""
        return self.count > 1 or now - self.since < PROBATION_SECONDS


class PoisonGuard:
    """Those that wait, the least suspicious first, and those on trial. For one thread."""

    def __init__(self, redis: "Redis", prefix: str) -> None:
        self._redis = redis
        self._prefix = prefix
        self._new: list[Delivery] = []
        self._waiting: list[tuple[int, int, Delivery]] = []
        self._on_probation: dict[str, Probation] = {}
        self._cleared: list[str] = []
        self._arrivals = 0
        self._away_until = 0.0

    def __len__(self) -> int:
        return len(self._new) + len(self._waiting)

    def add(self, delivery: Delivery) -> None:
        """One that was delivered before."""
        self._new.append(delivery)

    def release(self, most: int) -> Sequence[Delivery]:
        """Those that may be worked on now, `most` of them where none was tried before; `earlier` is their count.

        None while others are on trial, and none while Redis is away: a killer that nobody counts would kill for ever.
        """
        now = monotonic()
        if not len(self) or now < self._away_until or any(trial.open(now) for trial in self._on_probation.values()):
            return []
        try:
            self._uncount()
            self._sort()
            return self._let_through(most, now)
        except RedisError:
            self._away_until = monotonic() + AWAY_SECONDS
            return []

    def settled(self, tags: Iterable[str]) -> None:
        """These have killed nobody. A count that can't be deleted now ends by itself."""
        done = [tag for tag in tags if self._on_probation.pop(tag, None) is not None]
        if done:
            with suppress(RedisError):
                self._redis.delete(*map(self._key, done))

    def clear(self) -> None:
        """The connection is lost, and this process lives: those on trial have killed nobody. All will come again."""
        self._cleared += map(self._key, self._on_probation)
        self._on_probation.clear()
        self._new.clear()
        self._waiting.clear()
        with suppress(RedisError):  # the next release tries it again
            self._uncount()

    def _sort(self) -> None:
        if self._new:
            counts = cast("list[bytes | None]", self._redis.mget([self._key(delivery.tag) for delivery in self._new]))
            for delivery, count in zip(self._new, counts, strict=True):
                self._arrivals += 1
                insort(self._waiting, (int(count or 0), self._arrivals, delivery))
            self._new.clear()

    def _uncount(self) -> None:
        """Take back what was counted for nothing; earlier deaths stay counted."""
        if self._cleared:
            with self._redis.pipeline(transaction=False) as pipe:
                for key in self._cleared:
                    pipe.decr(key)
                    pipe.expire(key, COUNT_LIFE)
                pipe.execute()
            self._cleared.clear()

    def _let_through(self, most: int, now: float) -> list[Delivery]:
        first = self._waiting[0][0]
        size = sum(count == 0 for count, _, _ in self._waiting[:most]) if first == 0 else 1
        chosen = [delivery for _, _, delivery in self._waiting[:size]]
        with self._redis.pipeline(transaction=False) as pipe:
            for delivery in chosen:
                pipe.incr(self._key(delivery.tag))
                pipe.expire(self._key(delivery.tag), COUNT_LIFE)
            counts = cast("list[int]", pipe.execute())[::2]
        del self._waiting[:size]
        self._on_probation.update((d.tag, Probation(count, now)) for d, count in zip(chosen, counts, strict=True))
        return [replace(delivery, earlier=count) for delivery, count in zip(chosen, counts, strict=True)]

    def _key(self, tag: str) -> str:
        return f"{self._prefix}:probation:{tag.partition('/')[0]}"
