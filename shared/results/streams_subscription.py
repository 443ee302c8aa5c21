import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from kombu.entity import Queue
from kombu.messaging import Consumer
from redis.exceptions import RedisError

from shared.brokers.factory import open_connection
from shared.brokers.kombu_publisher import open_channel
from shared.messaging.errors import BrokerUnavailable
from shared.messaging.topology import GROUP
from shared.results.queue import ResultQueue
from shared.results.received import Received
from shared.streams import Channel, Message

DELIVERY_COUNT = "x-delivery-count"


class StreamsSubscription:
    """A member of a consumer group on Redis Streams. What it settles stays in the stream, for the other groups."""

    def __init__(self, url: str, queue: ResultQueue, prefetch: int, lease_seconds: float) -> None:
        """`lease_seconds`: how long what a killed consumer held waits for another one."""
        self._connection = open_connection(
            url, group=queue.group or GROUP, lease_seconds=lease_seconds, batch_size=prefetch, keep_settled=True
        )
        self._errors = (*self._connection.connection_errors, *self._connection.channel_errors, RedisError)
        self._queue = queue
        self._prefetch = prefetch
        self._opened: Channel | None = None
        self._batch: list[Received] = []

    def receive(self, wait: float) -> Sequence[Received]:
        """What has come, waited for at most `wait` seconds."""
        with self._reporting():
            self._channel()
            with suppress(TimeoutError):
                self._connection.drain_events(timeout=wait)
        batch, self._batch = self._batch, []
        return batch

    def keep(self) -> None:
        """Renew the leases."""
        with self._reporting():
            self._channel().flush()
            self._channel().renew()

    def acknowledge(self, done: Sequence[Received]) -> None:
        """Note them; they are sent with the next exchange."""
        for received in done:
            if self._opened is not None:
                self._opened.basic_ack(received.tag)

    def holds(self, received: Received) -> bool:
        """Whether its lease was not lost."""
        return self._opened is not None and self._opened.qos.find(received.tag) is not None

    def close(self) -> None:
        """Hand back what is held."""
        with suppress(*self._errors):
            self._connection.close()

    def _channel(self) -> Channel:
        if self._opened is None:
            channel: Channel = open_channel(self._connection)
            queue = Queue(self._queue.name, durable=True)
            Consumer(channel, [queue], on_message=self._note, prefetch_count=self._prefetch, accept=None).consume()
            self._opened = channel
        return self._opened

    def _note(self, message: Message) -> None:
        fault = "" if message.undecodable is None else str(message.undecodable)
        body = message.fields.get(b"body")
        self._batch.append(
            Received(
                tag=message.delivery_tag,
                body=_as_json(message.fields) if body is None else body,
                content_type=message.content_type or "",
                headers=message.headers,
                earlier=int(message.headers.get(DELIVERY_COUNT, 0)),
                fault=fault,
            )
        )

    @contextmanager
    def _reporting(self) -> Iterator[None]:
        try:
            yield
        except self._errors as error:
            raise BrokerUnavailable(type(error).__name__) from error


def _as_json(fields: dict[bytes, bytes]) -> bytes:
    """An entry that is no message of ours, so that nothing of it is lost."""
    text = {
        name.decode(errors="backslashreplace"): value.decode(errors="backslashreplace")
        for name, value in fields.items()
    }
    return json.dumps(text).encode()
