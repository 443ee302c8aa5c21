"""Reading a pipeline's queues, on Redis or on RabbitMQ."""

import json
from typing import Any, Protocol, cast

from redis import Redis

from deploy.local.stack import Stack
from shared.brokers.factory import open_connection
from shared.messaging.engine import engine_of
from shared.messaging.topology import INNER_QUEUES, queue_name
from tests.support.redis_clients import open_redis

INNER = tuple(queue_name("faceid", queue) for queue in INNER_QUEUES)


def is_idle(redis: "Redis") -> bool:
    """Whether no message is in an inner queue, delayed or in the outbox. One transaction, since messages move."""
    with redis.pipeline(transaction=True) as pipe:
        for queue in INNER:
            pipe.xlen(queue)
        for message_set in ("delayed", "outbox"):
            pipe.zcard(f"faceid:{message_set}")
        return not any(pipe.execute())


class Queues(Protocol):
    """The queues of one stack. Close it after use."""

    def decisions(self) -> list[dict[str, Any]]:
        """The `data` of every decision that has been published."""

    def empty(self) -> bool:
        """Whether the inner queues are empty, as far as the broker tells."""

    def close(self) -> None:
        """Close the connection."""


def queues_of(stack: Stack) -> Queues:
    """The queues of a stack whose queues and results are on the same engine."""
    return InRabbit(stack.broker_url) if engine_of(stack.broker_url) == "rabbit" else InRedis(stack.broker_url)


class InRedis:
    """Streams. Each call reads only what is new since the last one."""

    def __init__(self, url: str) -> None:
        self._redis = open_redis(url)
        self._read: list[dict[str, Any]] = []
        self._after = "-"

    def decisions(self) -> list[dict[str, Any]]:
        """All decisions so far."""
        entries = cast("list[tuple[bytes, dict[bytes, bytes]]]", self._redis.xrange("faceid.decisions", self._after))
        for place, fields in entries:
            self._after = f"({place.decode()}"
            self._read.append(json.loads(fields[b"body"])["data"])
        return list(self._read)

    def empty(self) -> bool:
        """Whether nothing waits and nothing is being worked on."""
        return not any(self._redis.xlen(queue) for queue in INNER)

    def close(self) -> None:
        """Close the connection."""
        self._redis.close()


class InRabbit:
    """Queues. A message that is read is gone from the broker, so it is kept here."""

    def __init__(self, url: str) -> None:
        self._connection = open_connection(url)
        self._taken: list[dict[str, Any]] = []

    def decisions(self) -> list[dict[str, Any]]:
        """All decisions so far."""
        while message := self._channel.basic_get("faceid.decisions", no_ack=True):
            self._taken.append(json.loads(message.body)["data"])
        return list(self._taken)

    def empty(self) -> bool:
        """Whether nothing waits. RabbitMQ does not tell which messages are being worked on."""
        return not any(self._channel.queue_declare(queue, passive=True).message_count for queue in INNER)

    def close(self) -> None:
        """Close the connection."""
        self._connection.release()

    @property
    def _channel(self) -> Any:
        return self._connection.default_channel
