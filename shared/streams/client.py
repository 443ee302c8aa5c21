"""The Redis client behind a connection: where the server is, and how commands are sent to it."""

from typing import Any

from kombu.connection import Connection
from redis import Redis
from redis.asyncio import connection as asynchronous
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.client import Pipeline
from redis.connection import ConnectionPool, SSLConnection, parse_url
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ReadOnlyError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry

from shared.streams.options import Options

CONNECTION_ERRORS = (RedisConnectionError, RedisTimeoutError, ReadOnlyError)
"""The server is away, or no longer the primary: the same call may be made again later."""

RAW_REPLIES = ("XREADGROUP", "XPENDING", "XCLAIM", "XRANGE")


def new_client(connection: Connection, options: Options) -> Redis:
    """A client with a pool of its own; it connects when first used.

    Nothing is sent twice: a retried XADD could double a message. A stale pooled connection is noticed and replaced
    before a command goes out, by redis-py itself.
    """
    settings: dict[str, Any] = {
        "socket_timeout": options.socket_timeout,
        "socket_connect_timeout": options.socket_connect_timeout,
        **server_address(connection),
        "protocol": 2,
        "retry": Retry(NoBackoff(), 0, CONNECTION_ERRORS),
    }
    client = Redis(connection_pool=ConnectionPool(**settings))
    for command in RAW_REPLIES:
        client.set_response_callback(command, _as_it_came)
    return client


def new_async_pool(connection: Connection, connect_timeout: float) -> asynchronous.ConnectionPool:
    """Connections to the same server for an asyncio loop. None limits the wait for a reply: that is left to a timeout
    around all the replies of a batch.
    """
    settings: dict[str, Any] = {
        **server_address(connection),
        "socket_timeout": None,
        "socket_connect_timeout": connect_timeout,
        "protocol": 2,
        "retry": AsyncRetry(NoBackoff(), 0),
    }
    if kind := settings.get("connection_class"):
        settings["connection_class"] = getattr(asynchronous, kind.__name__)
    return asynchronous.ConnectionPool(**settings)


def server_address(connection: Connection) -> dict[str, Any]:
    """What redis-py needs to reach the server of a kombu connection, from its URL or its single fields.

    Takes `redis://`, `rediss://` and `unix://`; the query may hold any option of redis-py, such as `ssl_ca_certs`.
    """
    address: dict[str, Any] = {"username": connection.userid, "password": connection.password}
    if "://" in (connection.hostname or ""):
        address |= parse_url(connection.hostname)
    else:
        database = (connection.virtual_host or "").strip("/")
        address |= {"host": connection.hostname, "port": connection.port or 6379, "db": int(database or 0)}
    if connection.ssl:
        address["connection_class"] = SSLConnection
        address |= connection.ssl if isinstance(connection.ssl, dict) else {}
    if isinstance(level := address.get("ssl_cert_reqs"), str):
        address["ssl_cert_reqs"] = level.lower().removeprefix("cert_")  # kombu and Celery say CERT_NONE
    return address


def execute(pipeline: Pipeline) -> list[Any]:
    """Run a pipeline and return its replies; raises the first error among them.

    A primary that became a replica answers READONLY for as long as the connection lives, so connections are closed.
    """
    try:
        return pipeline.execute()
    except ReadOnlyError:
        pipeline.connection_pool.disconnect()
        raise


def _as_it_came(reply: Any, **_options: Any) -> Any:
    return reply
