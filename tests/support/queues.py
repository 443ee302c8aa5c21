"""What a pipeline leaves in its queues, whichever engine carries them."""

import json
from typing import Any, Protocol, cast

from redis import Redis

from deploy.local.stack import Stack
from shared.brokers.factory import open_connection
from shared.messaging.engine import engine_of
from shared.messaging.topology import INNER_QUEUES, queue_name

INNER = tuple(queue_name("faceid", queue) for queue in INNER_QUEUES)


class Queues(Protocol):
    """The queues of one stack; close it."""

    def decisions(self) -> list[dict[str, Any]]:
        """The `data` of every decision that has been published."""

    def empty(self) -> bool:
        """Whether nothing waits in the inner queues, as far as the broker tells."""

    def close(self) -> None:
        """Let go of the broker."""


def queues_of(stack: Stack) -> Queues:
    """For the engine that carries both the queues and the results."""
    return InRabbit(stack.broker_url) if engine_of(stack.broker_url) == "rabbit" else InRedis(stack.broker_url)


class InRedis:
    """Streams, which are read on from where they were read last."""

    def __init__(self, url: str) -> None:
        self._redis = Redis.from_url(url)
        self._read: list[dict[str, Any]] = []
        self._after = "-"

    def decisions(self) -> list[dict[str, Any]]:
        """Those that were read before, and what has come since."""
        entries = cast("list[tuple[bytes, dict[bytes, bytes]]]", self._redis.xrange("faceid.decisions", self._after))
        for place, fields in entries:
            self._after = f"({place.decode()}"
            self._read.append(json.loads(fields[b"body"])["data"])
        return list(self._read)

    def empty(self) -> bool:
        """Neither waiting nor in work."""
        return not any(self._redis.xlen(queue) for queue in INNER)

    def close(self) -> None:
        """The connection."""
        self._redis.close()


class InRabbit:
    """Queues, from which what is read is gone: it is kept here."""

    def __init__(self, url: str) -> None:
        self._connection = open_connection(url)
        self._taken: list[dict[str, Any]] = []

    def decisions(self) -> list[dict[str, Any]]:
        """Those that were taken out before, and those that are there now."""
        while message := self._channel.basic_get("faceid.decisions", no_ack=True):
            self._taken.append(json.loads(message.body)["data"])
        return list(self._taken)

    def empty(self) -> bool:
        """Nothing waiting; what is in work can't be seen."""
        return not any(self._channel.queue_declare(queue, passive=True).message_count for queue in INNER)

    def close(self) -> None:
        """The connection."""
        self._connection.release()

    @property
    def _channel(self) -> Any:
        return self._connection.default_channel
