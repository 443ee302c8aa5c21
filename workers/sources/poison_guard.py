"""Redelivered messages, let through a few at a time: one of them may have killed the worker that had it.

RabbitMQ's x-delivery-count rises for every message that a dead consumer had prefetched, so it can't identify the one
that killed it. The poison guard counts only the messages that it lets through. It counts in the ledger's Redis, before
it lets a message through; settling the message deletes the count.
"""

from bisect import insort
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from time import monotonic
from typing import Final, cast

from redis import Redis
from redis.exceptions import RedisError

from shared.messaging.delivery import PROBATION_SECONDS, Delivery

LEDGER_PAUSE: Final = 0.5
"""Seconds to wait after a failed command to Redis; without a count nothing is let through."""
COUNT_TTL: Final = 86_400
"""Seconds that a count is kept after its message was last let through."""


@dataclass(slots=True)
class Probation:
    """A message that was let through: how often, this time included, and when (monotonic seconds)."""

    count: int
    since: float

    def is_open(self, now: float) -> bool:
        """Whether the message may still kill this worker. One that was let through before may until it is settled."""
        return self.count > 1 or now - self.since < PROBATION_SECONDS


class PoisonGuard:
    """Redelivered messages that wait, those with the lowest count first, and those on probation. For one thread."""

    def __init__(self, redis: "Redis", prefix: str) -> None:
        self._redis = redis
        self._prefix = prefix
        self._new: list[Delivery] = []
        self._waiting: list[tuple[int, int, Delivery]] = []
        self._on_probation: dict[str, Probation] = {}
        self._cleared: list[str] = []
        self._arrivals = 0
        self._retry_at = 0.0

    def __len__(self) -> int:
        return len(self._new) + len(self._waiting)

    def add(self, delivery: Delivery) -> None:
        """Have a redelivered message wait."""
        self._new.append(delivery)

    def release(self, limit: int) -> Sequence[Delivery]:
        """Let messages through: up to `limit` that were never let through before, else one. Each has its count.

        Lets none through while others are on probation, nor while Redis is unavailable: a message that is not counted
        could kill workers without end.
        """
        now = monotonic()
        if not len(self) or now < self._retry_at or self.on_probation():
            return []
        try:
            self._uncount()
            self._sort()
            return self._let_through(limit, now)
        except RedisError:
            self._retry_at = monotonic() + LEDGER_PAUSE
            return []

    def on_probation(self) -> bool:
        """Whether a message is in work that may have killed other workers."""
        now = monotonic()
        return any(each.is_open(now) for each in self._on_probation.values())

    def given_back(self, tags: Iterable[str]) -> None:
        """These are put back on their queue unsettled. Their counts stay."""
        for tag in tags:
            self._on_probation.pop(tag, None)

    def settled(self, tags: Iterable[str]) -> None:
        """These are settled: delete their counts. A count that can't be deleted now expires."""
        done = [tag for tag in tags if self._on_probation.pop(tag, None) is not None]
        if done:
            with suppress(RedisError):
                self._redis.delete(*map(self._key, done))

    def clear(self) -> None:
        """The connection is lost: all messages are delivered again. Those on probation have not killed this worker."""
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
        """Take back the last count of the messages that a lost connection has cleared."""
        if self._cleared:
            with self._redis.pipeline(transaction=False) as pipe:
                for key in self._cleared:
                    pipe.decr(key)
                    pipe.expire(key, COUNT_TTL)
                pipe.execute()
            self._cleared.clear()

    def _let_through(self, limit: int, now: float) -> list[Delivery]:
        first = self._waiting[0][0]
        size = sum(count == 0 for count, _, _ in self._waiting[:limit]) if first == 0 else 1
        chosen = [delivery for _, _, delivery in self._waiting[:size]]
        with self._redis.pipeline(transaction=False) as pipe:
            for delivery in chosen:
                pipe.incr(self._key(delivery.tag))
                pipe.expire(self._key(delivery.tag), COUNT_TTL)
            counts = cast("list[int]", pipe.execute())[::2]
        del self._waiting[:size]
        self._on_probation.update((d.tag, Probation(count, now)) for d, count in zip(chosen, counts, strict=True))
        return [replace(delivery, delivery_count=count) for delivery, count in zip(chosen, counts, strict=True)]

    def _key(self, tag: str) -> str:
        return f"{self._prefix}:probation:{tag.partition('/')[0]}"
