"""The side of RabbitMQ that a worker reads: messages in, acknowledgements out."""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from hashlib import blake2b
from typing import Any, Final

from kombu.connection import Connection

from shared.messaging.errors import BrokerUnavailable
from shared.rabbit import Link, Topology
from shared.rabbit.unsettled import Unsettled
from shared.rabbit.wire import incoming
from workers.runtime.delivery import Delivery

DELIVERY_COUNT: Final = "x-delivery-count"
"""The broker's own header; it counts what was merely prefetched, too."""


class RabbitConsumer:
    """The connection on which messages come, made anew when it is lost. For one thread; may raise `BrokerUnavailable`.

    A delivery's tag is `DIGEST/CONNECTION/NUMBER`: the digest is the message's, the same however often it comes.
    """

    def __init__(self, dialer: Connection, topology: Topology, queues: Mapping[str, str], prefetch: int) -> None:
        """`queues`: full names and the short ones of the topology; `prefetch` is for each of them."""
        self._dialer = dialer
        self._topology = topology
        self._queues = queues
        self._prefetch = prefetch
        self._link: Link | None = None
        self._unsettled = Unsettled()
        self._since: dict[int, tuple[str, float]] = {}
        self.connections = 0
        """How often it has connected."""
        self.first: deque[Delivery] = deque()
        """Messages that come for the first time."""
        self.again: deque[Delivery] = deque()
        """Messages that were delivered before, to whomever."""

    def drain(self, wait: float) -> None:
        """Take in what has come, waited for at most `wait` seconds; connects where that is needed."""
        link = self._link or self._open()
        try:
            link.drain(wait)
        except BrokerUnavailable:
            self._link = None
            self._begin()
            raise

    def holds(self, tag: str) -> bool:
        """Whether the delivery is still open: its message would come again."""
        _, connection, number = tag.split("/")
        return self._link is not None and int(connection) == self.connections and int(number) in self._unsettled

    def ack(self, tags: Iterable[str]) -> None:
        """The messages are done; those of earlier connections can't be told so, and come again."""
        numbers = [int(tag.rpartition("/")[2]) for tag in tags if self.holds(tag)]
        if self._link is None or not numbers:
            return
        for number in numbers:
            del self._since[number]
        with self._link.batch():
            for number, multiple in self._unsettled.settle(numbers):
                self._link.channel.basic_ack(number, multiple)

    def oldest(self, queues: Sequence[str]) -> float | None:
        """When the oldest message was published of those that are here and open, in unix seconds."""
        return min((since for queue, since in self._since.values() if since and queue in queues), default=None)

    def close(self) -> None:
        """Hand back all that is open. Never raises."""
        if self._link is not None:
            self._link.close()
            self._link = None
        self._begin()

    def _begin(self) -> None:
        """Nothing is open on a new connection."""
        self._unsettled = Unsettled()
        self._since.clear()
        self.first.clear()
        self.again.clear()

    def _open(self) -> Link:
        link = Link(self._dialer)
        self._begin()
        self.connections += 1
        with link.guarded():
            self._topology.declare(link.channel)
            link.channel.basic_qos(0, self._prefetch, False)  # for each consumer: quorum queues know no other
            for queue in self._queues:
                link.channel.basic_consume(queue, callback=partial(self._note, queue))
        self._link = link
        return link

    def _note(self, queue: str, message: Any) -> None:
        info = message.delivery_info
        number = info["delivery_tag"]
        headers, content_type, body = incoming(message)
        headers.pop(DELIVERY_COUNT, None)
        digest = blake2b(body, digest_size=12)
        digest.update(repr((queue, content_type, headers)).encode(errors="surrogatepass"))
        tag = f"{digest.hexdigest()}/{self.connections}/{number}"
        self._unsettled.add(number)
        self._since[number] = (queue, float(message.properties.get("timestamp", 0)))
        arrivals = self.again if info["redelivered"] else self.first
        arrivals.append(Delivery(tag, self._queues[queue], headers, content_type, body))
