"""Redis clients for tests. `Redis.from_url()` of redis-py 8 makes no retries, so a cut connection would end a test."""

from typing import Any, Final

from redis import Redis
from redis import asyncio as redis_asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import ConstantBackoff, NoBackoff
from redis.retry import Retry

from shared.redis_servers.address import connection_options
from shared.redis_servers.pools import new_pool

CLOSED_PORT: Final = 1
"""Nobody listens there: only root could, and nothing that a test starts does."""
RETRIES: Final = 50
PAUSE: Final = 0.1
"""Seconds between two of them."""


def open_redis(url: str, **options: Any) -> "Redis":
    """A client that connects again when its connection is cut. It follows a failover, by Sentinels too."""
    settings = {"retry": Retry(ConstantBackoff(PAUSE), RETRIES)} | options | connection_options(url)
    return Redis.from_pool(new_pool(settings))


def unreachable_redis() -> "Redis":
    """A client of a Redis that is away: every command fails at once, without retries."""
    return Redis(port=CLOSED_PORT, retry=Retry(NoBackoff(), 0))


def server_time(redis: "Redis") -> float:
    """The server's clock in Unix seconds."""
    seconds, microseconds = redis.time()
    return int(seconds) + int(microseconds) / 1e6


def open_async_redis(url: str, **options: Any) -> "redis_asyncio.Redis":
    """The same for asyncio."""
    return redis_asyncio.Redis.from_url(url, **{"retry": AsyncRetry(ConstantBackoff(PAUSE), RETRIES)} | options)
