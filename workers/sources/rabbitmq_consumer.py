"""The messages that a worker receives from RabbitMQ, before they are given to its stages."""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b
from typing import Any

from kombu.connection import Connection

from shared.messaging.delivery import DELIVERY_COUNT, Delivery
from shared.rabbit import Receiver, Topology
from shared.rabbit.amqp_message import from_amqp
from shared.rabbit.receiver import Position


class RabbitConsumer(Receiver):
    """Reads the inner queues. `drain` and `ack` may raise `BrokerUnavailable`.

    A delivery's tag is `DIGEST/CONNECTION/NUMBER`. The digest is of the message: the same in each of its deliveries.
    """

    def __init__(self, dialer: Connection, topology: Topology, queues: Mapping[str, str], prefetch: int) -> None:
        """`queues`: full names, and the short ones of the topology; `prefetch`: messages held of each of them."""
        super().__init__(dialer, topology)
        self._queues = queues
        self._prefetch = prefetch
        self._published: dict[Position, tuple[str, float]] = {}
        """Of each open delivery the queue, and when the message was published; 0 where the publisher does not say."""
        self.first: deque[Delivery] = deque()
        """Messages that were never delivered before."""
        self.again: deque[Delivery] = deque()
        """Messages that were delivered before, to any consumer."""

    def drain(self, wait: float) -> None:
        """Take in what has arrived, waited for at most `wait` seconds."""
        with self._connected() as link:
            link.drain(wait)

    def holds(self, tag: str) -> bool:
        """Whether the delivery is still open; if it is not, its message is delivered again."""
        return self.is_open(_position(tag))

    def ack(self, tags: Iterable[str]) -> None:
        """Acknowledge these messages. Those of earlier connections can't be acknowledged, and are delivered again."""
        positions = [position for tag in tags if self.is_open(position := _position(tag))]
        for position in positions:
            del self._published[position]
        self._acknowledge(positions)

    def reject(self, tags: Iterable[str]) -> None:
        """Put these messages back on their queue."""
        positions = [position for tag in tags if self.is_open(position := _position(tag))]
        for position in positions:
            del self._published[position]
        self._return(positions)

    def oldest(self, queues: Sequence[str]) -> float | None:
        """When the oldest open message of these queues was published, in unix seconds; None when there is none."""
        return min((at for queue, at in self._published.values() if at and queue in queues), default=None)

    def _forget(self) -> None:
        super()._forget()
        self._published.clear()
        self.first.clear()
        self.again.clear()

    def _begin(self, channel: Any) -> None:
        channel.basic_qos(0, self._prefetch, False)  # for each consumer: quorum queues know no other
        for queue in self._queues:
            self._consume(channel, queue)

    def _arrived(self, queue: str, position: Position, message: Any) -> None:
        headers, content_type, body = from_amqp(message)
        headers.pop(DELIVERY_COUNT, None)  # it counts prefetched messages too: the poison guard counts by itself
        digest = blake2b(body, digest_size=12)
        digest.update(repr((queue, content_type, headers)).encode(errors="surrogatepass"))
        tag = "/".join((digest.hexdigest(), *map(str, position)))
        self._published[position] = (queue, float(message.properties.get("timestamp", 0)))
        arrivals = self.again if message.delivery_info["redelivered"] else self.first
        arrivals.append(Delivery(tag, self._queues[queue], headers, content_type, body))


def _position(tag: str) -> Position:
    _, connection, number = tag.split("/")
    return int(connection), int(number)
