"""Delete the evidence of published cases while Redis is almost full, the oldest first."""

from collections.abc import Callable
from math import inf
from typing import Final, cast

import structlog
from redis import Redis
from redis.exceptions import RedisError, ResponseError

from shared.ledger.case_key import CaseKey, case_key, trimmed_key
from shared.ledger.scripts import load_script
from shared.messaging.errors import BrokerUnavailable
from shared.messaging.memory import UNLIMITED, Memory

INTERVAL: Final = 1.0
"""Seconds between two batches by one worker."""
PAGE: Final = 500
"""Keys that one script looks at: Redis is blocked for a few milliseconds only."""
PAGES: Final = 4
"""Scripts in one batch."""
YOUNGER: Final = 4
"""Each walk over all cases also takes cases that are this many times younger than those of the walk before."""
YOUNGEST: Final = 600.0
"""Seconds. Evidence of younger cases is kept: the browser's return and contradictions usually come sooner."""

log = structlog.get_logger()


class EvidenceDropper:
    """Walks over all cases in batches. An index by age would itself take a tenth of the memory of the cases.

    Several workers may do it at the same time. Each remembers where it is; after a restart it begins again.
    """

    def __init__(self, redis: "Redis", prefix: str, share: float, retention: float, clock: Callable[[], float]) -> None:
        """`share` of Redis's maxmemory above which it works. `retention` of a case in seconds. `clock` in seconds."""
        self._redis = redis
        self._pattern = case_key(prefix, CaseKey("*", "*"))
        self._trimmed = trimmed_key(prefix)
        self._share = share
        self._retention = retention
        self._clock = clock
        self._script = redis.register_script(load_script("drop_evidence"))
        self._due_at = -inf
        self._begin()

    def _begin(self) -> None:
        self._cursor, self._age = 0, max(YOUNGEST, self._retention / 2)

    def run(self) -> None:
        """Work on one batch if it is time and Redis is almost full. Raises `BrokerUnavailable`."""
        if (now := self._clock()) < self._due_at:
            return
        self._due_at = now + INTERVAL
        age = self._age
        try:
            if self._memory().share <= self._share:
                self._begin()
            elif dropped := self._drop():
                log.warning("evidence.dropped", count=dropped, older_than_seconds=int(age))
        except RedisError as error:
            raise BrokerUnavailable(type(error).__name__) from error

    def _memory(self) -> Memory:
        try:
            return Memory.of(self._redis.info("memory"))
        except ResponseError:  # some managed Redis services forbid INFO
            return UNLIMITED

    def _drop(self) -> int:
        dropped = 0
        for _ in range(PAGES):
            longest_ttl = int((self._retention - self._age) * 1000)
            self._cursor, keys = cast("tuple[int, list[bytes]]", self._redis.scan(self._cursor, self._pattern, PAGE))
            if keys:
                dropped += cast("int", self._script(keys=(self._trimmed, *keys), args=(longest_ttl,)))
            if self._cursor == 0:
                self._age = max(YOUNGEST, self._age / YOUNGER)
                break
        return dropped
