"""The asyncio client of Redis: redis-py's, with commands packed by hiredis.

redis-py packs by hiredis where it is synchronous, and in Python where it is not. The ledger sends commands of a
thousand words.
"""

from collections.abc import Iterable
from typing import Any

import hiredis
from redis.asyncio import ConnectionPool, Redis


class _Packing:
    """Mixed into whichever connection class the URL's scheme asks for."""

    def pack_command(self, *words: Any) -> list[bytes]:
        return [hiredis.pack_command((*words[0].encode().split(), *words[1:]))]  # `SCRIPT LOAD` is two words

    def pack_commands(self, commands: Iterable[Iterable[Any]]) -> list[bytes]:
        return [packed for words in commands for packed in self.pack_command(*words)]


def open_redis(url: str, **options: Any) -> "Redis":
    """A client, not yet connected; closing it closes its connections. `options` are those of redis-py's connections."""
    pool = ConnectionPool.from_url(url, **options)
    pool.connection_class = type("PackingConnection", (_Packing, pool.connection_class), {})
    return Redis.from_pool(pool)
