import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from kombu.entity import Queue
from kombu.messaging import Consumer
from redis.exceptions import RedisError

from shared.brokers.factory import open_connection
from shared.brokers.kombu_publisher import open_channel
from shared.messaging.delivery import DELIVERY_COUNT, Delivery
from shared.messaging.errors import BrokerUnavailable
from shared.messaging.topology import GROUP
from shared.results.queue import ResultQueue
from shared.streams import Channel, Message


class StreamsSubscription:
    """A member of a consumer group on Redis Streams. A settled message stays in the stream, for the other groups."""

    def __init__(self, url: str, queue: ResultQueue, prefetch: int, lease_seconds: float) -> None:
        """`lease_seconds`: how long the messages of a killed consumer wait before another one gets them."""
        self._connection = open_connection(
            url, group=queue.group or GROUP, lease_seconds=lease_seconds, batch_size=prefetch, keep_settled=True
        )
        self._errors = (*self._connection.connection_errors, *self._connection.channel_errors, RedisError)
        self._queue = queue
        self._prefetch = prefetch
        self._opened: Channel | None = None
        self._batch: list[Delivery] = []

    def receive(self, wait: float) -> Sequence[Delivery]:
        """What has arrived, waited for at most `wait` seconds."""
        with self._reporting():
            self._channel()
            with suppress(TimeoutError):
                self._connection.drain_events(timeout=wait)
        batch, self._batch = self._batch, []
        return batch

    def renew(self) -> None:
        """Renew the leases."""
        with self._reporting():
            self._channel().flush()
            self._channel().renew()

    def settle(self, settlements: Sequence[Delivery]) -> None:
        """Note the acknowledgements; the next exchange sends them."""
        for delivery in settlements:
            if self._opened is not None:
                self._opened.basic_ack(delivery.tag)

    def holds(self, delivery: Delivery) -> bool:
        """Whether the message is not settled, and its lease not lost."""
        return self._opened is not None and self._opened.qos.find(delivery.tag) is not None

    def close(self) -> None:
        """Send the acknowledgements that are noted, and hand back the other messages."""
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
            Delivery(
                tag=message.delivery_tag,
                queue=self._queue.name,
                headers=message.headers,
                content_type=message.content_type or "",
                body=_as_json(message.fields) if body is None else body,
                delivery_count=int(message.headers.get(DELIVERY_COUNT, 0)),
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
    """The fields of a stream entry that has no body, as JSON: a dead letter keeps all of them."""
    text = {
        name.decode(errors="backslashreplace"): value.decode(errors="backslashreplace")
        for name, value in fields.items()
    }
    return json.dumps(text).encode()
