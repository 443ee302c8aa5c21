"""Redis clients for a kombu connection: the server's address, time-outs, and no retries."""

from typing import Any

from kombu.connection import Connection
from redis import Redis
from redis.asyncio import connection as asynchronous
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.connection import SSLConnection
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry

from shared.redis_servers import pools
from shared.redis_servers.address import connection_options
from shared.streams.options import Options

CONNECTION_ERRORS = (RedisConnectionError, RedisTimeoutError)
"""Redis is unreachable, or no longer the primary. The same call may succeed later."""

UNPARSED_REPLIES = ("XREADGROUP", "XPENDING", "XCLAIM", "XRANGE")


def new_client(connection: Connection, options: Options) -> Redis:
    """A client with its own connection pool. It connects at its first command.

    No command is retried: a second XADD could publish a message twice. redis-py replaces a pooled connection that the
    server has closed before it sends a command on it.
    """
    settings: dict[str, Any] = {
        "socket_timeout": options.socket_timeout,
        "socket_connect_timeout": options.socket_connect_timeout,
        **server_address(connection, options.url),
        "protocol": 2,
        "retry": Retry(NoBackoff(), 0, CONNECTION_ERRORS),
    }
    client = Redis(connection_pool=pools.new_pool(settings))
    for command in UNPARSED_REPLIES:
        client.set_response_callback(command, _unparsed)
    return client


def new_async_pool(connection: Connection, connect_timeout: float) -> asynchronous.ConnectionPool:
    """A pool of asyncio connections to the same server. No time-out on a reply: callers limit a whole batch instead."""
    settings: dict[str, Any] = {
        **server_address(connection, Options.from_transport_options(connection.transport_options or {}).url),
        "socket_timeout": None,
        "socket_connect_timeout": connect_timeout,
        "protocol": 2,
        "retry": AsyncRetry(NoBackoff(), 0),
    }
    return pools.new_async_pool(settings)


def server_address(connection: Connection, url: str = "") -> dict[str, Any]:
    """redis-py's connection options for the server of a kombu connection, from its URL or its fields, or from `url`.

    Accepts `redis://`, `rediss://` and `unix://`; in `url` also those of Sentinels. The URL's query may hold any
    connection option of redis-py, such as `ssl_ca_certs`.
    """
    address: dict[str, Any] = {"username": connection.userid, "password": connection.password}
    named = url or connection.hostname or ""
    if "://" in named:
        address |= connection_options(named)
    else:
        database = (connection.virtual_host or "").strip("/")
        address |= {"host": connection.hostname, "port": connection.port or 6379, "db": int(database or 0)}
    if connection.ssl:
        address["connection_class"] = SSLConnection
        address |= connection.ssl if isinstance(connection.ssl, dict) else {}
    if isinstance(level := address.get("ssl_cert_reqs"), str):
        address["ssl_cert_reqs"] = level.lower().removeprefix("cert_")  # kombu and Celery write CERT_NONE
    return address


def _unparsed(reply: Any, **_options: Any) -> Any:
    return reply
