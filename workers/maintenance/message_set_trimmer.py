"""Keep message sets within their bounds: everything by age, unverified callbacks also by number, bytes and memory."""

from collections.abc import Callable
from dataclasses import replace
from math import inf
from typing import Final

import structlog
from redis import Redis

from shared.ledger.message_set import MAX_TRIM, Bounds, MessageSet
from shared.redis_servers.clock import RedisClock
from workers.maintenance.releasing import reporting

INTERVAL: Final = 10.0
"""Seconds between two searches by one worker for items that are too old. Unverified callbacks are trimmed each time."""

log = structlog.get_logger()


class MessageSetTrimmer:
    """Trims the message sets. Every worker does it; ages are by Redis's clock, and a script drops a limited number.

    While Redis's clock and this machine's differ too much, nothing is dropped for its age.
    """

    def __init__(
        self,
        redis: "Redis",
        prefix: str,
        unverified: Bounds,
        retention: float,
        longest_delay: float,
        clock: Callable[[], float],
        redis_clock: RedisClock,
    ) -> None:
        """`unverified`: its bounds. `retention` and `longest_delay`: in seconds. `clock` returns seconds."""
        self._unverified = MessageSet(redis, prefix, "unverified")
        self._unverified_bounds = unverified
        self._dead = MessageSet(redis, prefix, "dead")
        self._outbox = MessageSet(redis, prefix, "outbox")
        self._tombstones = MessageSet(redis, prefix, "tombstones")
        self._delayed = MessageSet(redis, prefix, "delayed")
        self._retention = retention
        self._longest_delay = longest_delay
        self._redis_clock = redis_clock
        self._clock = clock
        self._due_at = -inf

    def run(self) -> None:
        """Trim what is over its bounds, a limited number of items. Raises `BrokerUnavailable`."""
        with reporting():
            self._trim_unverified()
            if (now := self._clock()) >= self._due_at:
                self._due_at = now + INTERVAL if self._trim_old() < MAX_TRIM else now

    def _trim_unverified(self) -> None:
        bounds = self._unverified_bounds
        trimmed = self._unverified.trim(replace(bounds, seconds=None) if self._redis_clock.is_skewed else bounds)
        if any(trimmed):
            log.warning("unverified.trimmed", count=sum(trimmed), over=trimmed._asdict())

    def _trim_old(self) -> int:
        """Drop what is too old. Returns the largest number that was dropped from one message set."""
        if capped := self._delayed.cap_delays(self._longest_delay):
            log.warning("delays.capped", count=capped)
        if self._redis_clock.is_skewed:
            return capped
        bounds = Bounds(seconds=self._retention)
        dead, outbox = self._dead.trim(bounds).age, self._outbox.trim(bounds).age
        tombstones = self._tombstones.trim(bounds).age
        if dead:
            log.error("dead_letters.expired", count=dead)
        if outbox:
            log.error("outbox.expired", count=outbox)
        return max(dead, outbox, tombstones, capped)
