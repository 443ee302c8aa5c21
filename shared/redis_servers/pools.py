"""Pools of connections to a primary."""

from collections.abc import Mapping
from typing import Any, Final

from redis import connection as synchronous
from redis import sentinel
from redis.asyncio import connection as asynchronous
from redis.asyncio import sentinel as async_sentinel
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.retry import Retry

from shared.redis_servers.primary import following, following_async

SENTINEL_TIMEOUTS: Final = {"socket_connect_timeout": 0.5, "socket_timeout": 1.0}
"""Seconds. Short, because the next Sentinel is asked then."""


class _Sentinels(sentinel.Sentinel):
    """Asks another Sentinel first each time: a caller that gives up before a dead one does reaches the next."""

    def discover_master(self, service_name: str) -> tuple[str, int]:
        self.sentinels.append(self.sentinels.pop(0))
        try:
            address: tuple[str, int] = super().discover_master(service_name)  # type: ignore[no-untyped-call]
        except sentinel.MasterNotFoundError:
            raise _unknown(service_name) from None
        return address


class _AsyncSentinels(async_sentinel.Sentinel):
    """The same for asyncio."""

    async def discover_master(self, service_name: str) -> tuple[str, int]:
        self.sentinels.append(self.sentinels.pop(0))
        try:
            address: tuple[str, int] = await super().discover_master(service_name)
        except async_sentinel.MasterNotFoundError:
            raise _unknown(service_name) from None
        return address


def new_pool(options: Mapping[str, Any]) -> synchronous.ConnectionPool:
    """A pool that connects at its first command. `options`: of `connection_options`, and any others of redis-py."""
    options = dict(options)
    kind = options.pop("connection_class", synchronous.Connection)
    if "sentinels" not in options:
        return synchronous.ConnectionPool(connection_class=following(kind), **options)
    encrypted = issubclass(kind, synchronous.SSLConnection)
    managed = sentinel.SentinelManagedSSLConnection if encrypted else sentinel.SentinelManagedConnection
    own = SENTINEL_TIMEOUTS | options.pop("sentinel_options") | {"ssl": encrypted, "retry": Retry(NoBackoff(), 0)}
    sentinels = _Sentinels(options.pop("sentinels"), sentinel_kwargs=own)  # type: ignore[no-untyped-call]
    name = options.pop("service_name")
    return sentinel.SentinelConnectionPool(name, sentinels, connection_class=following(managed), **options)


def new_async_pool(options: Mapping[str, Any]) -> asynchronous.ConnectionPool:
    """The same for asyncio; `connection_class` may be that of either kind."""
    options = dict(options)
    kind = getattr(asynchronous, options.pop("connection_class", synchronous.Connection).__name__)
    if "sentinels" not in options:
        return asynchronous.ConnectionPool(connection_class=following_async(kind), **options)
    encrypted = issubclass(kind, asynchronous.SSLConnection)
    managed = async_sentinel.SentinelManagedSSLConnection if encrypted else async_sentinel.SentinelManagedConnection
    own = SENTINEL_TIMEOUTS | options.pop("sentinel_options") | {"ssl": encrypted, "retry": AsyncRetry(NoBackoff(), 0)}
    sentinels = _AsyncSentinels(options.pop("sentinels"), sentinel_kwargs=own)  # type: ignore[no-untyped-call]
    name = options.pop("service_name")
    return async_sentinel.SentinelConnectionPool(name, sentinels, connection_class=following_async(managed), **options)


def _unknown(name: str) -> sentinel.MasterNotFoundError:
    return sentinel.MasterNotFoundError(f"no Sentinel answers with a primary named {name}")
