"""Notice that the ledger has lost its data: a key that is written once and never deleted."""

from contextlib import suppress
from secrets import token_hex
from typing import cast

from redis import Redis
from redis.exceptions import OutOfMemoryError


class LedgerEpoch:
    """Compares the ledger's epoch with the one that this process saw before.

    The first worker of a new ledger writes it. A Redis without it, or with another one, was emptied or is another
    Redis. Only a worker that has seen the epoch before can tell: a loss while no worker runs is not noticed.
    """

    def __init__(self, redis: "Redis", prefix: str) -> None:
        self._redis = redis
        self._key = f"{prefix}:epoch"
        self._seen: bytes | None = None

    def is_lost(self) -> bool:
        """Whether the epoch has changed since the last call. Writes it where it is missing. Raises `RedisError`."""
        found = self._read() or self._write()
        before, self._seen = self._seen, found or self._seen
        return before is not None and found != before

    def _write(self) -> bytes | None:
        """Write a new epoch; returns the one that Redis has then. None: it is full."""
        with suppress(OutOfMemoryError):
            self._redis.set(self._key, token_hex(16), nx=True)
        return self._read()

    def _read(self) -> bytes | None:
        return cast("bytes | None", self._redis.get(self._key))
