"""A worker's inner queues on either engine, with ledger and results on the same server or on others."""

from collections.abc import Sequence
from contextlib import ExitStack, closing
from typing import Any, cast

from kombu.connection import Connection

from shared.brokers.factory import open_publisher
from shared.ledger.message_set import MessageSet
from shared.messaging.delivery import Delivery
from shared.messaging.engine import engine_of
from shared.messaging.message import Message
from shared.settings import Settings, load_settings
from tests.support.redis_clients import open_redis
from tests.support.waiting import until
from workers.runtime.settlement import Settlement
from workers.runtime.source import Source
from workers.sources.factory import open_source

LEASE = 30.0
"""Seconds. No pause of a busy machine ends such a lease."""
PREFIX = "faceid"
PUBLISH_SECONDS = 60.0


class Place:
    """The servers of a worker. Closing it closes what it has opened."""

    def __init__(self, redis_url: str, broker_url: str, results_url: str) -> None:
        self.urls: dict[str, Any] = {"redis_url": redis_url, "broker_url": broker_url, "results_url": results_url}
        self.ledger = open_redis(redis_url)
        self._stack = ExitStack()
        self._stack.callback(self.ledger.close)

    def settings(self, **settings: Any) -> Settings:
        return load_settings(**self.urls, **{"prefix": PREFIX, "lease_seconds": LEASE, **settings})

    def source(self, **settings: Any) -> Source:
        """The source of a worker that verifies and reconciles."""
        source = open_source(self.settings(**settings), ("verify", "reconcile"), self.ledger)
        self._stack.callback(source.close)
        return source

    def publish(self, *messages: Message) -> None:
        with closing(open_publisher(self.urls["broker_url"], PUBLISH_SECONDS)) as publisher:
            publisher.publish(messages)

    def take(self, queue: str) -> list[bytes]:
        """Empty an inner queue; returns the bodies."""
        return bodies(self.urls["broker_url"], queue)

    def results(self) -> list[bytes]:
        """Empty the queue of decisions; returns the bodies."""
        return bodies(self.urls["results_url"], f"{PREFIX}.decisions")

    def message_set(self, name: Any) -> MessageSet:
        return MessageSet(self.ledger, PREFIX, name)

    def close(self) -> None:
        self._stack.close()


def bodies(url: str, queue: str) -> list[bytes]:
    """Empty a queue; returns the bodies."""
    return taken_from_rabbit(url, queue) if engine_of(url) == "rabbit" else taken_from_redis(url, queue)


def taken_from_redis(url: str, queue: str) -> list[bytes]:
    with open_redis(url) as redis:
        entries = cast("list[tuple[bytes, dict[bytes, bytes]]]", redis.xrange(queue))
        redis.delete(queue)
    return [fields[b"body"] for _, fields in entries]


def taken_from_rabbit(url: str, queue: str) -> list[bytes]:
    return [message.body or b"" for message in messages_of_rabbit(url, queue)]


def messages_of_rabbit(url: str, queue: str) -> list[Any]:
    """Empty a queue of RabbitMQ; returns the messages as py-amqp reads them."""
    found = []
    with Connection(url) as connection:
        channel = connection.channel()
        channel.auto_decode = False
        while (message := channel.basic_get(queue, no_ack=True)) is not None:
            found.append(message)
    return found


def receive(source: Source, count: int = 1) -> list[Delivery]:
    """Receive exactly `count` messages."""
    found: list[Delivery] = []

    def enough() -> bool:
        found.extend(source.receive(0.05))
        return len(found) >= count

    until(enough, what=f"{count} messages")
    assert len(found) == count
    return found


def settle_all(source: Source, deliveries: Sequence[Delivery]) -> None:
    source.settle([Settlement(delivery.tag) for delivery in deliveries])
