"""Connections of a command to Redis."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from console.terminal.errors import ServerUnavailable, UsageError
from shared.redis_servers.clients import open_client

TIMEOUT: Final = 5.0
"""Seconds."""
BROKER_OPTIONS: Final = {
    "connect_timeout": TIMEOUT / 2,
    "read_timeout": TIMEOUT,
    "write_timeout": TIMEOUT,
    "socket_connect_timeout": TIMEOUT / 2,
    "socket_timeout": TIMEOUT,
}
"""Time-outs of a kombu connection: the first three are for RabbitMQ, the others for Redis."""


def new_client(url: str, setting: str) -> Redis:
    """A client whose commands end or fail within `TIMEOUT`. Raises `UsageError` when the URL is not a Redis URL."""
    try:
        return open_client(url, TIMEOUT, TIMEOUT / 2)
    except ValueError:
        raise UsageError(
            f"{setting} is not a Redis URL.",
            "Write redis://HOST:PORT/DB, rediss://..., unix://PATH or redis+sentinel://HOST:PORT,.../NAME/DB.",
        ) from None


@contextmanager
def open_redis(url: str, setting: str = "FACEID_REDIS_URL") -> Iterator[Redis]:
    """A client for one command. Raises `ServerUnavailable` when Redis can't be reached or refuses a command.

    `setting` is the setting that the URL comes from; the error names it.
    """
    client = new_client(url, setting)
    try:
        yield client
    except RedisError as error:
        raise _as_command_error(error, setting) from error
    finally:
        client.close()


def _as_command_error(error: RedisError, setting: str) -> ServerUnavailable:
    if isinstance(error, RedisConnectionError | RedisTimeoutError):
        return ServerUnavailable(
            f"Redis can't be reached: {error}", f"Check that it runs, and that {setting} names it."
        )
    if isinstance(error, ResponseError):
        return ServerUnavailable(
            f"Redis refused a command ({error_code(error)}).",
            f"Check that {setting} names the Redis that the workers use.",
        )
    return ServerUnavailable(
        f"The server did not answer like Redis ({type(error).__name__}).",
        f"Check that {setting} names the right host and port.",
    )


def error_code(error: ResponseError) -> str:
    """The first word of Redis's answer, such as WRONGTYPE. The rest may quote data."""
    return str(error).rpartition("caused error: ")[2].partition(" ")[0] or type(error).__name__
