"""Publishing to RabbitMQ: a batch is sent whole, then every message of it is waited for."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from time import monotonic
from typing import Final

from kombu.connection import Connection

from shared.messaging.errors import BrokerUnavailable
from shared.messaging.message import Message
from shared.messaging.publisher import NotStored
from shared.rabbit.confirms import Confirms, Refused
from shared.rabbit.link import Link
from shared.rabbit.topology import Topology
from shared.rabbit.wire import outgoing

LONGEST_LIFETIME: Final = 2**32 - 1
"""Milliseconds that a message may be given to live: 49.7 days; the protocol's field holds no more."""


class RabbitPublisher:
    """A `Publisher` for RabbitMQ, with a second connection for questions: one that blocks answers none.

    A post with a topic goes to the exchange under it, and is kept no longer than its lifetime; any other goes to its
    queue for as long as it takes.
    """

    def __init__(self, dialer: Connection, topology: Topology, timeout: float, lifetime: float) -> None:
        """`timeout` seconds bound a call; `lifetime` in seconds, more than 49.7 days count as these."""
        self._dialer = dialer
        self._topology = topology
        self._timeout = timeout
        self._lifetime = min(int(lifetime * 1000), LONGEST_LIFETIME)
        self._link: Link | None = None
        self._confirms: Confirms | None = None
        self._asking: Link | None = None

    def publish(self, messages: Sequence[Message]) -> None:
        """Store all of `messages`, in order; raises `NotStored`, at once while the broker has an alarm."""
        if not messages:
            return
        deadline = monotonic() + self._timeout
        with self._telling():
            link, confirms = self._ready()
            confirms.begin()
            if not link.blocked:
                with link.batch():
                    self._send(link, confirms, messages, deadline)
            while not link.blocked and not confirms.complete:
                link.drain(_left(deadline))
        if link.blocked:
            raise NotStored("blocked")

    def depth(self, queues: Sequence[str]) -> int:
        """Messages waiting in `queues`, made where missing; raises `NotStored`."""
        with self._telling():
            asking = self._asking = _alive(self._asking) or Link(self._dialer)
            with asking.guarded():
                return sum(self._topology.declare_queue(asking.channel, queue) for queue in queues)

    def fullness(self) -> float:
        """1 while the broker takes nothing in, else 0: it tells no more. Raises `NotStored`."""
        with self._telling():
            link, _ = self._ready()
            return 1.0 if link.blocked else 0.0

    def keep(self) -> None:
        """Answer heartbeats and hear of alarms; opens nothing, and never raises."""
        self._link, self._asking = _alive(self._link), _alive(self._asking)

    def close(self) -> None:
        """Let go of the connections; the next call makes new ones."""
        for link in (self._link, self._asking):
            if link is not None:
                link.close()
        self._drop()

    def _ready(self) -> tuple[Link, Confirms]:
        """The connection for publishing; one that was lost since it was used last is replaced."""
        if (link := _alive(self._link)) is not None and self._confirms is not None:
            return link, self._confirms
        link = self._link = Link(self._dialer)
        with link.guarded():
            self._topology.declare(link.channel)
            confirms = self._confirms = Confirms(link.channel)
        return link, confirms

    def _send(self, link: Link, confirms: Confirms, messages: Sequence[Message], deadline: float) -> None:
        for message in messages:
            _left(deadline)
            lifetime = self._lifetime if message.topic else None
            exchange, key = (self._topology.exchange, message.topic) if message.topic else ("", message.queue)
            link.publish(exchange, key, outgoing(link.channel, message, lifetime))
            confirms.sent()

    @contextmanager
    def _telling(self) -> Iterator[None]:
        """Any failure is told as `NotStored`, and makes the next call begin anew, topology and all."""
        try:
            yield
        except (BrokerUnavailable, Refused, TimeoutError) as error:
            self._drop()
            raise NotStored(str(error) or "timeout") from error

    def _drop(self) -> None:
        for link in (self._link, self._asking):
            if link is not None:
                link.drop()
        self._link = self._confirms = self._asking = None


def _alive(link: Link | None) -> Link | None:
    """The link, with all handled that has come in; None when it was lost meanwhile."""
    if link is not None:
        try:
            link.drain()
        except BrokerUnavailable:
            return None
    return link


def _left(deadline: float) -> float:
    """Seconds until then; raises TimeoutError when there are none."""
    left = deadline - monotonic()
    if left <= 0:
        raise TimeoutError
    return left
