"""The inner queues of a worker on either engine, with ledger and results on the same server or elsewhere."""

from collections.abc import Sequence
from contextlib import ExitStack, closing
from typing import Any, cast

from kombu.connection import Connection

from shared.brokers.factory import open_publisher
from shared.ledger.message_set import MessageSet
from shared.messaging.delivery import Delivery
from shared.messaging.engine import engine_of
from shared.messaging.message import Message
from shared.messaging.topology import INNER_QUEUES, RESULT_QUEUES, queue_name
from shared.settings import Settings, load_settings
from tests.support.redis_clients import open_redis
from workers.runtime.settlement import Settlement
from workers.runtime.source import Source
from workers.sources.factory import open_source

LEASE = 0.5
"""Seconds on Redis, short so that takeovers come soon; RabbitMQ hands on what a lost connection held at once."""
LONG_LEASE = 30.0
PREFIX = "faceid"


class Place:
    """Where everything is; what it has opened is closed with it."""

    def __init__(self, redis_url: str, broker_url: str, results_url: str) -> None:
        self.urls: dict[str, Any] = {"redis_url": redis_url, "broker_url": broker_url, "results_url": results_url}
        self.ledger = open_redis(redis_url)
        self._stack = ExitStack()
        self._stack.callback(self.ledger.close)

    def settings(self, **settings: Any) -> Settings:
        lease = LONG_LEASE if engine_of(self.urls["broker_url"]) == "rabbit" else LEASE
        return load_settings(**self.urls, **{"prefix": PREFIX, "lease_seconds": lease, **settings})

    def source(self, **settings: Any) -> Source:
        """That of a worker which verifies and reconciles."""
        source = open_source(self.settings(**settings), ("verify", "reconcile"), self.ledger)
        self._stack.callback(source.close)
        return source

    def publish(self, *messages: Message) -> None:
        with closing(open_publisher(self.urls["broker_url"], 5.0)) as publisher:
            publisher.publish(messages)

    def take(self, queue: str) -> list[bytes]:
        """The bodies of what waits in an inner queue, which is empty then."""
        return bodies(self.urls["broker_url"], queue)

    def results(self) -> list[bytes]:
        """The bodies of the decisions that are out, which are gone then."""
        return bodies(self.urls["results_url"], f"{PREFIX}.decisions")

    def message_set(self, name: Any) -> MessageSet:
        return MessageSet(self.ledger, PREFIX, name)

    def close(self) -> None:
        self._stack.close()


def bodies(url: str, queue: str) -> list[bytes]:
    """What waits in a queue; it is empty then."""
    return taken_from_rabbit(url, queue) if engine_of(url) == "rabbit" else taken_from_redis(url, queue)


def taken_from_redis(url: str, queue: str) -> list[bytes]:
    with open_redis(url) as redis:
        entries = cast("list[tuple[bytes, dict[bytes, bytes]]]", redis.xrange(queue))
        redis.delete(queue)
    return [fields[b"body"] for _, fields in entries]


def taken_from_rabbit(url: str, queue: str) -> list[bytes]:
    return [message.body or b"" for message in messages_of_rabbit(url, queue)]


def messages_of_rabbit(url: str, queue: str) -> list[Any]:
    """The messages of py-amqp that wait in a queue of RabbitMQ; it is empty then."""
    found = []
    with Connection(url) as connection:
        channel = connection.channel()
        channel.auto_decode = False
        while (message := channel.basic_get(queue, no_ack=True)) is not None:
            found.append(message)
    return found


def emptied(url: str) -> str:
    """A virtual host of RabbitMQ without any queue of ours."""
    with Connection(url) as connection:
        channel = connection.channel()
        for queue in (*INNER_QUEUES, *RESULT_QUEUES):
            channel.queue_delete(queue_name(PREFIX, queue))
        channel.exchange_delete(PREFIX)
    return url


def receive(source: Source, count: int = 1) -> list[Delivery]:
    """So many messages; fails when they do not come, or more do."""
    found: list[Delivery] = []
    for _ in range(200):
        found += source.receive(0.05)
        if len(found) >= count:
            break
    assert len(found) == count
    return found


def settle_all(source: Source, deliveries: Sequence[Delivery]) -> None:
    source.settle([Settlement(delivery.tag) for delivery in deliveries])
