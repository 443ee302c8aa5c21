"""Clients of a Redis by its URL."""

from typing import Any

from redis import Redis
from redis import asyncio as redis_asyncio
from redis.backoff import NoBackoff
from redis.retry import Retry

from shared.redis_servers.address import connection_options
from shared.redis_servers.pools import new_async_pool, new_pool


def open_client(url: str, timeout: float, connect_timeout: float, **options: Any) -> Redis:
    """A client that makes no retries, unless `options` hold a `retry`. Closing it closes its connections.

    The time-outs are for a reply and for a connection, in seconds. Raises ValueError for a URL that is not a Redis URL.
    """
    settings: dict[str, Any] = {
        "socket_timeout": timeout,
        "socket_connect_timeout": connect_timeout,
        "retry": Retry(NoBackoff(), 0),
    }
    return Redis.from_pool(new_pool(settings | options | connection_options(url)))


def open_async_client(url: str, **options: Any) -> "redis_asyncio.Redis":
    """The same for asyncio, with redis-py's own time-outs. Give it a `retry`, if it is to make any."""
    return redis_asyncio.Redis.from_pool(new_async_pool(options | connection_options(url)))
