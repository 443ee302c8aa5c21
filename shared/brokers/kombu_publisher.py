"""Publishing over kombu: on our Streams transport, and on any transport of kombu's own."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from kombu.connection import Connection
from kombu.exceptions import BatchPublishError
from kombu.messaging import Producer

from shared.messaging.memory import UNLIMITED, Memory
from shared.messaging.message import Message
from shared.messaging.publisher import MessageRefused, NotStored
from shared.redis_servers.refusals import refusal_code


def open_channel(connection: Connection) -> Any:
    """A channel. Raises the connection's errors at once; kombu by default sleeps and tries a second time."""
    connection.ensure_connection(max_retries=0, reraise_as_library_errors=False)
    return connection.channel()


class KombuPublisher:
    """A `Publisher` over a kombu connection. Our Streams transport sends a batch in one exchange."""

    def __init__(self, connection: Connection) -> None:
        """`connection`: not yet connected; its options limit the time of each exchange."""
        self._fresh = connection
        self._connection: Connection | None = None
        self._producer: Producer | None = None

    def publish(self, messages: Sequence[Message]) -> None:
        """Store all of `messages`, in order. Raises `NotStored`."""
        if not messages:
            return
        with self._connected() as producer:
            if hasattr(producer.channel, "create_publish_batch"):
                with producer.batch(max_size=len(messages)):
                    self._send(producer, messages)
            else:
                self._send(producer, messages)

    def depths(self, queues: Sequence[str]) -> list[int]:
        """Messages waiting or in work in each of `queues`. Creates missing queues. Raises `NotStored`."""
        with self._connected() as producer:
            channel = producer.channel
            if hasattr(channel, "depths"):
                return list(channel.depths(queues))
            return [channel.queue_declare(queue, durable=True).message_count for queue in queues]

    def memory(self) -> Memory:
        """The broker's memory, without a limit where the transport can't ask. Raises `NotStored`."""
        with self._connected() as producer:
            channel = producer.channel
            return Memory.of(channel.memory_info()) if hasattr(channel, "memory_info") else UNLIMITED

    def keep(self) -> None:
        """Nothing to do: Redis keeps silent connections."""

    def close(self) -> None:
        """Close the connection; the next call opens a new one."""
        connection, self._connection, self._producer = self._connection, None, None
        if connection is not None:
            with suppress(Exception):  # it may be broken
                connection.close()

    def _send(self, producer: Producer, messages: Sequence[Message]) -> None:
        for message in messages:
            producer.publish(
                message.body,
                routing_key=message.queue,
                content_type=message.content_type,
                content_encoding="binary",
                headers=dict(message.headers),
                serializer=None,
                retry=False,
            )

    @contextmanager
    def _connected(self) -> Iterator[Producer]:
        """Any failure is reported as `NotStored`; the next call connects again."""
        try:
            yield self._producer or self._open()
        except Exception as error:
            self.close()
            if code := refusal_code(error.__cause__ if isinstance(error, BatchPublishError) else error):
                raise MessageRefused(code) from error
            raise NotStored(type(error).__name__) from error

    def _open(self) -> Producer:
        self._connection = self._fresh.clone()
        self._producer = Producer(open_channel(self._connection), auto_declare=False)
        return self._producer
