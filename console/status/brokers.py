"""Open the queue statistics of a broker."""

from collections.abc import Iterator
from contextlib import contextmanager

from console.doctor.probe import explain_error
from console.status.kombu import KombuStats
from console.status.redis_streams import RedisStreamsStats
from console.status.snapshot import QueueStats
from console.terminal.errors import ServerUnavailable, UsageError
from console.terminal.redis_connection import BROKER_OPTIONS, open_redis
from shared.brokers.factory import connect, open_connection
from shared.messaging.engine import engine_of


@contextmanager
def open_queue_stats(url: str, setting: str) -> Iterator[QueueStats]:
    """The statistics of the broker of a URL. Raises `ServerUnavailable` when it can't be reached or refuses."""
    engine = engine_of(url)
    if engine == "streams":
        with open_redis(url, setting) as redis:
            yield RedisStreamsStats(redis)
        return
    try:
        connection = open_connection(url, **BROKER_OPTIONS)
    except (ImportError, KeyError):
        raise UsageError(
            f"kombu has no transport for {setting}.", "Write redis://... or amqp://..., or install the transport."
        ) from None
    try:
        connect(connection)
        yield KombuStats(connection, counts_consumers=engine == "rabbit")
    except (*connection.connection_errors, *connection.channel_errors) as error:
        why = explain_error(error, setting)
        raise ServerUnavailable(f"The broker of {setting}: {why.found}.", why.hint) from error
    finally:
        connection.release()
