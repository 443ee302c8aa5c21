"""The time by a Redis server's clock: the one that all processes share. A machine's own wall clock may be wrong."""

import time
from collections.abc import Callable, Sequence
from math import inf
from typing import Any, Final

import structlog
from redis import Redis

from shared.redis_servers.clock_skew import MOST_SKEW

INTERVAL: Final = 10.0
"""Seconds between two measurements."""

log = structlog.get_logger()


class SharedClock:
    """Unix seconds by Redis's clock. Between two measurements they are counted by this machine's steady clock.

    Until the first measurement it is the wall clock. Several threads may read it.
    """

    def __init__(self, wall: Callable[[], float] = time.time, steady: Callable[[], float] = time.monotonic) -> None:
        """`wall`: this machine's wall clock in Unix seconds. `steady`: seconds that are never set."""
        self._wall = wall
        self._steady = steady
        self._offset = wall() - steady()
        self._logged = False

    def __call__(self) -> float:
        """The time now."""
        return self._steady() + self._offset

    @property
    def skew(self) -> float:
        """Redis's clock minus the wall clock, in seconds."""
        return self() - self._wall()

    @property
    def is_skewed(self) -> bool:
        """Whether one of the two clocks is wrong."""
        return abs(self.skew) > MOST_SKEW

    def note(self, reply: Sequence[Any], asked_at: float) -> None:
        """Note a measurement. A clock that is wrong is logged once.

        Args:
            reply: Of TIME: seconds and microseconds.
            asked_at: The steady clock when TIME was sent. The reply has just arrived.
        """
        seconds, microseconds = reply
        self._offset = int(seconds) + int(microseconds) / 1e6 - (asked_at + self._steady()) / 2
        if self.is_skewed != self._logged:
            self._logged = self.is_skewed
            if self._logged:
                log.error("clock.skewed", skew_seconds=round(self.skew, 3))
            else:
                log.info("clock.agrees", skew_seconds=round(self.skew, 3))


class RedisClock(SharedClock):
    """A shared clock that asks Redis itself."""

    def __init__(
        self,
        redis: "Redis",
        wall: Callable[[], float] = time.time,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        """`wall` and `steady`: as for `SharedClock`."""
        super().__init__(wall, steady)
        self._redis = redis
        self._due_at = -inf

    def run(self) -> None:
        """Measure if `INTERVAL` has passed. Raises `redis.RedisError`."""
        if self._steady() >= self._due_at:
            self.measure()
            self._due_at = self._steady() + INTERVAL

    def measure(self) -> None:
        """Ask Redis for its time. Raises `redis.RedisError`."""
        asked_at = self._steady()
        self.note(self._redis.time(), asked_at)
