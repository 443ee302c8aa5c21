"""Publishing batches to a broker: when a call returns, the broker holds every message of it."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

from kombu.connection import Connection
from kombu.messaging import Producer

from shared.post import Post
from shared.topology import GROUP

STREAMS: Final = "shared.streams:Transport"
REDIS_SCHEMES: Final = frozenset({"redis", "rediss", "unix"})


class NotStored(Exception):
    """The broker did not take the messages, or did not say so in time; some may be there all the same."""


def on_redis(url: str) -> bool:
    """Whether a broker URL means our Streams transport."""
    return url.partition("://")[0] in REDIS_SCHEMES


def open_connection(url: str, **options: Any) -> Connection:
    """A kombu connection, not yet connected: `redis://`, `rediss://` and `unix://` ride on Streams."""
    if on_redis(url):
        return Connection(url, transport=STREAMS, transport_options={"group": GROUP, **options})
    return Connection(url, transport_options={"confirm_publish": True})


def open_channel(connection: Connection) -> Any:
    """A channel; a broker that is away is told at once, where kombu by itself would sleep and try a second time."""
    connection.ensure_connection(max_retries=0, reraise_as_library_errors=False)
    return connection.channel()


class Publisher:
    """One connection to one broker, for one thread; made anew by itself after a failure."""

    def __init__(self, url: str, timeout: float) -> None:
        """`timeout` in seconds bounds each exchange with the broker."""
        self._url = url
        self._timeout = timeout
        self._connection: Connection | None = None
        self._producer: Producer | None = None

    def publish(self, posts: Sequence[Post]) -> None:
        """Store all of `posts`, in order; raises `NotStored`."""
        if not posts:
            return
        try:
            producer = self._producer or self._open()
            with producer.batch(max_size=len(posts)):
                for post in posts:
                    producer.publish(
                        post.body,
                        routing_key=post.queue,
                        content_type=post.content_type,
                        content_encoding="binary",
                        headers=dict(post.headers),
                        serializer=None,
                        retry=False,
                    )
        except Exception as error:
            self.close()
            raise NotStored(type(error).__name__) from error

    def depth(self, queues: Sequence[str]) -> int:
        """Messages waiting or in work in `queues`, made where missing; raises `NotStored`."""
        try:
            producer = self._producer or self._open()
            return sum(producer.channel.queue_declare(queue, durable=True).message_count for queue in queues)
        except Exception as error:
            self.close()
            raise NotStored(type(error).__name__) from error

    def fullness(self) -> float:
        """The share of its memory limit that the broker uses, as far as it tells; raises `NotStored`."""
        try:
            producer = self._producer or self._open()
            return float(producer.channel.fullness()) if on_redis(self._url) else 0.0
        except Exception as error:
            self.close()
            raise NotStored(type(error).__name__) from error

    def close(self) -> None:
        """Let go of the connection; the next call makes a new one."""
        connection, self._connection, self._producer = self._connection, None, None
        if connection is not None:
            with suppress(Exception):  # it is being thrown away, whatever state it is in
                connection.close()

    def _open(self) -> Producer:
        self._connection = open_connection(
            self._url, socket_timeout=self._timeout, socket_connect_timeout=self._timeout
        )
        self._producer = Producer(open_channel(self._connection), auto_declare=False)
        return self._producer
