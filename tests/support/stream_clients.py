"""Publish and consume over the Streams transport."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from kombu.connection import Connection
from kombu.entity import Queue
from kombu.messaging import Consumer, Producer
from redis import Redis

from shared.streams import Channel, Move
from tests.support.waiting import until

IDLE_MS = 3_600_000
LEASE = 30.0
"""Seconds. No pause of a busy machine ends such a lease: a test that needs that calls `expire_leases`."""


def connect(url: str, **options: Any) -> Connection:
    return Connection(url, transport="shared.streams:Transport", transport_options={"lease_seconds": LEASE, **options})


def publish(connection: Connection, queue: str, *bodies: Any, **kwargs: Any) -> None:
    producer = Producer(connection)
    with producer.batch():
        for body in bodies:
            producer.publish(body, routing_key=queue, **kwargs)


def expire_leases(redis: "Redis", queue: str) -> None:
    """Make every pending entry look as if its consumer had not renewed its lease for `IDLE_MS`."""
    for group, entry_id, consumer, _ in pending(redis, queue):
        redis.xclaim(queue, group, consumer, 0, [entry_id], idle=IDLE_MS, justid=True)


def renewed(redis: "Redis", queue: str) -> bool:
    """Whether the leases of all pending entries were renewed since `expire_leases`."""
    return all(idle < IDLE_MS for *_, idle in pending(redis, queue))


def pending(redis: "Redis", queue: str) -> list[tuple[bytes, bytes, bytes, int]]:
    """Group, entry id, consumer and idle time in milliseconds of each pending entry."""
    found: list[tuple[bytes, bytes, bytes, int]] = []
    for group in redis.xinfo_groups(queue):
        rows: Any = redis.xpending_range(queue, group["name"], "-", "+", 1000)
        found += [(group["name"], row["message_id"], row["consumer"], row["time_since_delivered"]) for row in rows]
    return found


class Reader:
    """A consumer with its own connection. It keeps the messages that it receives."""

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
        """Drain once: send settlements, renew, take over, and read what is there or comes within `seconds`."""
        with suppress(TimeoutError):
            self.connection.drain_events(timeout=seconds)

    def drain_until(self, reached: Callable[[], object], what: str = "") -> bool:
        """Drain until the condition holds; returns True."""

        def drained() -> bool:
            if not reached():
                self.drain()
            return bool(reached())

        until(drained, what=what)
        return True

    def receive(self, count: int) -> list[Any]:
        """Drain until `count` messages were received, those of earlier calls included."""
        self.drain_until(lambda: len(self.messages) >= count, f"{count} messages")
        return self.messages

    @property
    def tags(self) -> list[str]:
        return [message.delivery_tag for message in self.messages]

    @property
    def bodies(self) -> list[Any]:
        return [message.payload for message in self.messages]

    def stall(self) -> None:
        """Drop the connection as a killed process does: nothing is returned to the queue."""
        self.channel._redis.connection_pool.disconnect()


@contextmanager
def reader(url: str, *queues: str, prefetch: int = 0, no_ack: bool = False, **options: Any) -> Iterator[Reader]:
    with connect(url, **options) as connection:
        yield Reader(connection, *queues, prefetch=prefetch, no_ack=no_ack)


def names(rows: Sequence[dict[str, Any]]) -> set[str]:
    """The consumers in an answer of XINFO CONSUMERS."""
    return {row["name"].decode() for row in rows}


def move_messages(consumer: Reader) -> None:
    """Move all received messages to the stream `out`."""
    addition = consumer.channel.entry_command
    consumer.channel.move(
        [Move(message.delivery_tag, (addition("out", message.body),)) for message in consumer.messages]
    )
    consumer.messages.clear()


def assert_all_moved_once(redis: Redis, count: int, what: str) -> None:
    """Assert that each number below `count` is in the stream `out` exactly once."""
    rows: Any = redis.xrange("out")
    counts = Counter(int(fields[b"body"]) for _, fields in rows)
    lost = sum(1 for number in range(count) if number not in counts)
    doubled = sum(times - 1 for times in counts.values())
    print(f"{what}: {count} messages, {lost} lost, {doubled} doubled")
    assert (lost, doubled) == (0, 0)
