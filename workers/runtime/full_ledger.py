"""While the ledger's Redis is full, a worker reads no messages: each attempt would be refused."""

import time
from collections.abc import Callable
from random import Random
from typing import Final

import structlog
from redis import Redis
from redis.exceptions import RedisError, ResponseError

from shared.messaging.memory import UNLIMITED, Memory

log = structlog.get_logger()

FIRST_PAUSE: Final = 1.0
LONGEST_PAUSE: Final = 60.0
"""Seconds. Each pause is up to twice as long as the last one, unless the worker worked for longer than that between."""
LOOK_INTERVAL: Final = 1.0
"""Seconds between two looks at Redis's memory during a pause."""
ROOM: Final = 0.95
"""Share of Redis's memory limit. Below it a pause ends early."""


def has_room(redis: "Redis") -> bool:
    """Whether Redis has memory again. False when it can't be asked."""
    try:
        return read_memory(redis).share < ROOM
    except RedisError:
        return False


def read_memory(redis: "Redis") -> Memory:
    """The memory of Redis, without a limit when it forbids INFO, as some managed servers do. Raises `RedisError`."""
    try:
        return Memory.of(redis.info("memory"))
    except ResponseError:
        return UNLIMITED


class FullLedger:
    """The pauses of one worker. `refused` is for the thread of the stages, `is_pausing` for the pump's."""

    def __init__(
        self, has_room: Callable[[], bool], random: Random, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`has_room`: whether Redis has memory again, which ends a pause early. `clock`: seconds."""
        self._has_room = has_room
        self._random = random
        self._clock = clock
        self._longest = 0.0
        self._until = -LONGEST_PAUSE
        self._look_at = 0.0
        self._refused = 0

    def refused(self) -> float:
        """Note an attempt that failed because Redis is full. Returns the seconds after which to try the item again.

        The first such attempt after a pause begins the next one.
        """
        self._refused += 1
        if (now := self._clock()) >= self._until:
            self._begin_pause(now)
        left = self._until - now
        return min(LONGEST_PAUSE, left + self._random.uniform(0, left))

    def is_pausing(self) -> bool:
        """Whether to read no messages now."""
        now = self._clock()
        if now < self._until and now >= self._look_at:
            self._look_at = now + LOOK_INTERVAL
            if self._has_room():
                self._until = now
        return now < self._until

    def _begin_pause(self, now: float) -> None:
        worked = now - self._until
        self._longest = FIRST_PAUSE if worked > self._longest else min(2 * self._longest, LONGEST_PAUSE)
        pause = self._random.uniform(self._longest / 2, self._longest)
        self._until, self._look_at = now + pause, now + LOOK_INTERVAL
        log.warning("ledger.full", refused=self._refused, retry_in_seconds=round(pause, 1))
        self._refused = 0
