"""The console's way to Redis."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry

from console.terminal.errors import CommandError, UsageError

TIMEOUT: Final = 5.0
BROKER_OPTIONS: Final = {
    "connect_timeout": TIMEOUT / 2,
    "read_timeout": TIMEOUT,
    "write_timeout": TIMEOUT,
    "socket_connect_timeout": TIMEOUT / 2,
    "socket_timeout": TIMEOUT,
}
"""For a kombu connection that answers or fails within seconds: the first three are RabbitMQ's, the others Redis's."""


def new_client(url: str, setting: str) -> "Redis":
    """A client that answers or fails within seconds; raises `UsageError` for a URL that is none."""
    try:
        return Redis.from_url(
            url, socket_timeout=TIMEOUT, socket_connect_timeout=TIMEOUT / 2, retry=Retry(NoBackoff(), 0)
        )
    except ValueError:
        raise UsageError(
            f"{setting} is not a Redis URL.", "Write redis://HOST:PORT/DB, rediss://... or unix://PATH."
        ) from None


@contextmanager
def open_redis(url: str, setting: str = "FACEID_REDIS_URL") -> Iterator["Redis"]:
    """A client for one command. Raises `CommandError` when the server can't be reached or refuses a command.

    `setting` is where the URL comes from: the one an operator would mend.
    """
    client = new_client(url, setting)
    try:
        yield client
    except RedisError as error:
        raise in_words(error, setting) from error
    finally:
        client.close()


def in_words(error: RedisError, setting: str) -> CommandError:
    """What a Redis error means for an operator."""
    if isinstance(error, RedisConnectionError | RedisTimeoutError):
        return CommandError(f"Redis can't be reached: {error}", f"Is it running, and does {setting} name it?")
    if isinstance(error, ResponseError):
        return CommandError(
            f"Redis refused a command ({code(error)}).", f"Is {setting} the Redis that the workers use?"
        )
    return CommandError(f"What answers is no Redis ({type(error).__name__}).", f"Does {setting} name the right port?")


def code(error: ResponseError) -> str:
    """The first word of the server's answer, such as WRONGTYPE: the rest may quote what was sent."""
    return str(error).rpartition("caused error: ")[2].partition(" ")[0] or type(error).__name__
