"""Consume results in a thread, and see what is left on the broker."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from amqp.exceptions import NotFound

from shared.brokers.factory import open_connection
from shared.messaging.engine import engine_of
from shared.results import Decision, consume
from tests.support.redis_clients import open_redis
from tests.support.waiting import LIMIT

LEASE = 30.0
"""Seconds. No pause of a busy machine ends such a lease."""


@dataclass
class Consuming:
    """A consumer in a thread: the decisions that its handler got, and the exception that ended it."""

    handled: list[Decision]
    stop: threading.Event
    thread: threading.Thread
    failure: BaseException | None = None

    @property
    def numbers(self) -> list[int]:
        return [number_of(decision) for decision in self.handled]

    def end(self) -> None:
        self.stop.set()
        self.thread.join(LIMIT)
        assert not self.thread.is_alive(), "the consumer does not stop"


@contextmanager
def consuming(
    url: str, handler: Callable[[Decision], object] = lambda _: None, *, lease_seconds: float = LEASE, **options: Any
) -> Iterator[Consuming]:
    """Run a consumer until the end of the block. A decision is in `handled` before `handler` gets it."""

    def handle(decision: Decision) -> None:
        consumer.handled.append(decision)
        handler(decision)

    def run() -> None:
        try:
            consume(url, handle, lease_seconds=lease_seconds, stop=stop, **options)
        except BaseException as error:
            consumer.failure = error

    stop = threading.Event()
    consumer = Consuming([], stop, threading.Thread(target=run))
    consumer.thread.start()
    try:
        yield consumer
    finally:
        consumer.end()


def number_of(decision: Decision) -> int:
    return int(decision.biz_id.partition(",")[2])


def dead_letters(url: str, queue: str) -> list[tuple[bytes, dict[str, Any]]]:
    """Body and headers of each dead letter. On RabbitMQ they are removed."""
    if engine_of(url) == "streams":
        with open_redis(url) as redis:
            entries: Any = redis.xrange(queue)
        return [(fields[b"body"], json.loads(fields[b"headers"])) for _, fields in entries]
    found = []
    with open_connection(url) as connection:
        channel: Any = connection.default_channel
        channel.auto_decode = False
        channel.queue_declare(queue, durable=True, auto_delete=False, arguments={"x-queue-type": "quorum"})
        while message := channel.basic_get(queue, no_ack=True):
            found.append((message.body or b"", message.headers))  # py-amqp has "" for none
    return found


def waiting(url: str, queue: str, group: str = "faceid") -> int:
    """Messages that the group has not acknowledged; on RabbitMQ without those in work."""
    if engine_of(url) == "streams":
        with open_redis(url) as redis:
            (row,) = [row for row in redis.xinfo_groups(queue) if row["name"] == group.encode()]
            return int(row["pending"]) + int(row["lag"])
    return int(_declared(url, queue, group).message_count)


def reads(url: str, queue: str, group: str = "faceid") -> bool:
    """Whether the group exists and has a consumer."""
    if engine_of(url) == "streams":
        with open_redis(url) as redis:
            return bool(redis.exists(queue)) and group.encode() in {row["name"] for row in redis.xinfo_groups(queue)}
    try:
        return int(_declared(url, queue, group).consumer_count) > 0
    except NotFound:
        return False


def _declared(url: str, queue: str, group: str) -> Any:
    name = queue if group == "faceid" else f"{queue}.{group}"
    with open_connection(url) as connection:
        channel: Any = connection.default_channel
        return channel.queue_declare(name, passive=True)
