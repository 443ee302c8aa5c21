"""The asyncio Redis client of the ledger: redis-py's, with commands encoded by hiredis.

redis-py's asyncio connections encode commands in Python. The ledger sends commands with a thousand arguments, for
which hiredis is much faster.
"""

from collections.abc import Iterable
from typing import Any

import hiredis
from redis.asyncio import Redis

from shared.redis_servers.address import connection_options
from shared.redis_servers.pools import new_async_pool


class _Packing:
    """Mixed into the connection class of the URL's scheme (TCP, TLS or unix socket)."""

    def pack_command(self, *arguments: Any) -> list[bytes]:
        return [hiredis.pack_command((*arguments[0].encode().split(), *arguments[1:]))]  # "SCRIPT LOAD" is one argument

    def pack_commands(self, commands: Iterable[Iterable[Any]]) -> list[bytes]:
        return [packed for command in commands for packed in self.pack_command(*command)]


def open_redis(url: str, **options: Any) -> "Redis":
    """A client that connects at its first command. Closing it closes its connections. `options`: of redis-py."""
    pool = new_async_pool(options | connection_options(url))
    pool.connection_class = type("PackingConnection", (_Packing, pool.connection_class), {})
    return Redis.from_pool(pool)
