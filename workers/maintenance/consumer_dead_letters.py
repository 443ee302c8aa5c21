"""Delete the old dead letters of consumers: streams beside the result streams, which nothing else trims."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, cast

import structlog
from redis import Redis

KEYS_AT_ONCE: Final = 1000
STEPS: Final = 10
"""Steps of `SCAN` in one run, which looks at about 10,000 keys. The next run goes on from there."""
MOST_ENTRIES: Final = 200
"""Entries that one script deletes from a stream."""
EXPIRE: Final = """
-- Delete the oldest entries of a stream that are too old, by Redis's clock.
-- KEYS: 1 the stream
-- ARGV: 1 longest age in milliseconds  2 most entries
-- Returns: how many were deleted.
local time = redis.call('TIME')
local oldest = time[1] * 1000 + math.floor(time[2] / 1000) - ARGV[1]
local old = redis.call('XRANGE', KEYS[1], '-', string.format('%.0f', oldest - 1), 'COUNT', ARGV[2])
for _, entry in ipairs(old) do redis.call('XDEL', KEYS[1], entry[1]) end
return #old
"""

log = structlog.get_logger()


class ConsumerDeadLetters:
    """The dead letters of all consumers of some result streams. Their streams are found among all keys, bit by bit."""

    def __init__(self, redis: "Redis", streams: Sequence[str], keep_ms: float) -> None:
        """`streams`: the result streams. `keep_ms`: longest age of a dead letter in milliseconds."""
        self._redis = redis
        self._starts = tuple(f"{stream}." for stream in streams)
        self._keep_ms = keep_ms
        self._expire = redis.register_script(EXPIRE)
        self._cursor = 0

    def trim(self) -> None:
        """Delete what is too old from the streams that the next steps of the search find. Raises `RedisError`."""
        for stream in set(self._found()):
            if count := sum(self._steps(stream)):
                log.warning("consumer_dead_letters.expired", queue=stream, count=count)

    def _found(self) -> Iterator[str]:
        for _ in range(STEPS):
            self._cursor, keys = cast(
                "tuple[int, Iterable[bytes]]",
                self._redis.scan(self._cursor, match="*.dead", count=KEYS_AT_ONCE, _type="stream"),
            )
            names = (key.decode(errors="replace") for key in keys)
            yield from (name for name in names if name.startswith(self._starts))
            if self._cursor == 0:
                return

    def _steps(self, stream: str) -> Iterator[int]:
        """How many entries each script has deleted. The next run deletes what is left after `STEPS` of them."""
        for _ in range(STEPS):
            count = cast("int", self._expire(keys=[stream], args=(self._keep_ms, MOST_ENTRIES)))
            yield count
            if count < MOST_ENTRIES:
                return
