"""Receiving from RabbitMQ: messages in, acknowledgements out."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from kombu.connection import Connection

from shared.messaging.errors import BrokerUnavailable
from shared.rabbit.link import Link
from shared.rabbit.open_deliveries import OpenDeliveries
from shared.rabbit.topology import Topology

Position = tuple[int, int]
"""A delivery: the number of its connection, and its delivery tag there, which begins anew with each connection."""


class Receiver(ABC):
    """The connection on which messages arrive: opened when it is first used, and anew after a loss.

    For one thread, but for `is_open`. What uses the connection may raise `BrokerUnavailable`: then every delivery that
    was open is forgotten, since the broker delivers its message again.
    """

    def __init__(self, dialer: Connection, topology: Topology) -> None:
        """`topology` is declared on each new connection."""
        self._dialer = dialer
        self._topology = topology
        self._link: Link | None = None
        self._open = OpenDeliveries()
        self.connections = 0
        """How often it has connected."""

    def is_open(self, position: Position) -> bool:
        """Whether the delivery can still be acknowledged. Callable from any thread."""
        connection, tag = position
        return connection == self.connections and tag in self._open

    def close(self) -> None:
        """Hand back all open deliveries. Never raises."""
        if self._link is not None:
            self._link.close()
        self._forget()

    @abstractmethod
    def _begin(self, channel: Any) -> None:
        """Consume on a new connection."""

    @abstractmethod
    def _arrived(self, queue: str, position: Position, message: Any) -> None:
        """A message of py-amqp has arrived."""

    def _forget(self) -> None:
        """The connection is gone, and with it all open deliveries."""
        self._link = None
        self._open = OpenDeliveries()

    @contextmanager
    def _connected(self) -> Iterator[Link]:
        try:
            yield self._link or self._connect()
        except BrokerUnavailable:
            self._forget()
            raise

    def _connect(self) -> Link:
        link = Link(self._dialer)
        self.connections += 1
        with link.guarded():
            self._topology.declare(link.channel)
            self._begin(link.channel)
        self._link = link
        return link

    def _consume(self, channel: Any, queue: str) -> str:
        """Have the queue's messages delivered; returns the consumer tag."""
        tag: str = channel.basic_consume(queue, callback=partial(self._note, queue))
        return tag

    def _note(self, queue: str, message: Any) -> None:
        self._open.add(message.delivery_tag)
        self._arrived(queue, (self.connections, message.delivery_tag), message)

    def _return(self, positions: Iterable[Position]) -> None:
        """Put these back on their queue; those of lost connections are there already."""
        for _, tag in [position for position in positions if self.is_open(position)]:
            with self._connected() as link, link.guarded():
                link.channel.basic_reject(tag, requeue=True)
            self._open.close([tag])

    def _acknowledge(self, positions: Iterable[Position]) -> None:
        """Acknowledge these; those of lost connections are left out, their messages arrive again."""
        tags = [position[1] for position in positions if self.is_open(position)]
        if tags:
            with self._connected() as link, link.batch():
                for tag, multiple in self._open.close(tags):
                    link.channel.basic_ack(tag, multiple)
