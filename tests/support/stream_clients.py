"""Producers and consumers on the Streams transport, as the tests of it need them."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from time import monotonic
from typing import Any

from kombu.connection import Connection
from kombu.entity import Queue
from kombu.messaging import Consumer, Producer

from shared.streams import Channel

LEASE = 0.5
"""Seconds; short, so that takeovers come soon."""


def connect(url: str, **options: Any) -> Connection:
    return Connection(url, transport="shared.streams:Transport", transport_options={"lease_seconds": LEASE, **options})


def publish(connection: Connection, queue: str, *bodies: Any, **kwargs: Any) -> None:
    producer = Producer(connection)
    with producer.batch():
        for body in bodies:
            producer.publish(body, routing_key=queue, **kwargs)


class Reader:
    """A consumer with a connection of its own that keeps what it is given."""

    def __init__(self, connection: Connection, *queues: str, prefetch: int = 0, no_ack: bool = False) -> None:
        self.connection = connection
        self.channel: Channel = connection.channel()
        self.messages: list[Any] = []
        self.consumer = Consumer(
            self.channel,
            [Queue(queue) for queue in queues],
            on_message=self.messages.append,
            prefetch_count=prefetch or None,
            no_ack=no_ack,
        )
        self.consumer.consume()

    def drain(self, seconds: float = 0.05) -> None:
        """Drain for so long, whatever comes."""
        self.drain_until(lambda: False, seconds)

    def drain_until(self, reached: Callable[[], bool], seconds: float = 10) -> bool:
        """Drain until the condition holds; False when it does not within the time."""
        deadline = monotonic() + seconds
        while not reached():
            left = deadline - monotonic()
            if left <= 0:
                return False
            try:
                self.connection.drain_events(timeout=min(left, 0.1))
            except TimeoutError:
                continue
        return True

    def receive(self, count: int) -> list[Any]:
        """Drain until so many messages are here; fails when they do not come."""
        assert self.drain_until(lambda: len(self.messages) >= count), f"{len(self.messages)} of {count} came"
        return self.messages

    @property
    def tags(self) -> list[str]:
        return [message.delivery_tag for message in self.messages]

    @property
    def bodies(self) -> list[Any]:
        return [message.payload for message in self.messages]

    def stall(self) -> None:
        """Go silent as a killed process does: nothing is handed back."""
        self.channel._redis.connection_pool.disconnect()


@contextmanager
def reader(url: str, *queues: str, prefetch: int = 0, no_ack: bool = False, **options: Any) -> Iterator[Reader]:
    with connect(url, **options) as connection:
        yield Reader(connection, *queues, prefetch=prefetch, no_ack=no_ack)


def names(rows: Sequence[dict[str, Any]]) -> set[str]:
    """The consumers in an answer of XINFO CONSUMERS."""
    return {row["name"].decode() for row in rows}
