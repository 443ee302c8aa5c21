"""Publishing to RabbitMQ: send a whole batch, then wait until every message is confirmed."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from time import monotonic
from typing import Final

from kombu.connection import Connection

from shared.messaging.errors import BrokerUnavailable
from shared.messaging.memory import FULL, UNLIMITED, Memory
from shared.messaging.message import Message
from shared.messaging.publisher import NotStored
from shared.rabbit.amqp_message import to_amqp
from shared.rabbit.confirms import Confirms, Refused
from shared.rabbit.link import Link
from shared.rabbit.topology import Topology

MAX_LIFETIME: Final = 2**32 - 1
"""Milliseconds: 49.7 days, the limit of RabbitMQ's `expiration`."""


class RabbitPublisher:
    """A `Publisher` for RabbitMQ. A second connection asks for queue depths, since a blocked one answers nothing.

    A message with a topic goes to the exchange with its topic as routing key, and expires. Any other message goes
    directly to its queue, and expires only with `all_expire`.
    """

    def __init__(
        self, dialer: Connection, topology: Topology, timeout: float, lifetime: float, *, all_expire: bool = False
    ) -> None:
        """`timeout`: seconds that a call may take; `lifetime` of messages that expire: seconds, at most 49.7 days."""
        self._dialer = dialer
        self._topology = topology
        self._timeout = timeout
        self._lifetime = min(int(lifetime * 1000), MAX_LIFETIME)
        self._all_expire = all_expire
        self._link: Link | None = None
        self._confirms: Confirms | None = None
        self._query_link: Link | None = None

    def publish(self, messages: Sequence[Message]) -> None:
        """Store all of `messages`, in order. Raises `NotStored`: at once while the broker has an alarm (`blocked`)."""
        if not messages:
            return
        deadline = monotonic() + self._timeout
        with self._reporting():
            link, confirms = self._ready()
            confirms.begin()
            if not link.blocked:
                with link.batch():
                    self._send(link, confirms, messages, deadline)
            while not link.blocked and not confirms.complete:
                link.drain(_left(deadline))
        if link.blocked:
            raise NotStored("blocked")

    def depths(self, queues: Sequence[str]) -> list[int]:
        """Messages waiting in each of `queues`. Creates missing queues. Raises `NotStored`."""
        with self._reporting():
            link = self._query_link = _checked(self._query_link) or Link(self._dialer)
            with link.guarded():
                return [self._topology.declare_queue(link.channel, queue) for queue in queues]

    def memory(self) -> Memory:
        """`FULL` while the broker has an alarm, else without a limit: it reports no bytes. Raises `NotStored`."""
        with self._reporting():
            link, _ = self._ready()
            return FULL if link.blocked else UNLIMITED

    def keep(self) -> None:
        """Answer heartbeats and take note of alarms. Opens no connection, and never raises."""
        self._link, self._query_link = _checked(self._link), _checked(self._query_link)

    def close(self) -> None:
        """Close the connections; the next call opens new ones."""
        for link in (self._link, self._query_link):
            if link is not None:
                link.close()
        self._drop()

    def _ready(self) -> tuple[Link, Confirms]:
        """The link for publishing; a lost one is replaced."""
        if (link := _checked(self._link)) is not None and self._confirms is not None:
            return link, self._confirms
        link = self._link = Link(self._dialer)
        with link.guarded():
            self._topology.declare(link.channel)
            confirms = self._confirms = Confirms(link.channel)
        return link, confirms

    def _send(self, link: Link, confirms: Confirms, messages: Sequence[Message], deadline: float) -> None:
        for message in messages:
            _left(deadline)
            lifetime = self._lifetime if message.topic or self._all_expire else None
            exchange, key = (self._topology.exchange, message.topic) if message.topic else ("", message.queue)
            link.publish(exchange, key, to_amqp(link.channel, message, lifetime))
            confirms.sent()

    @contextmanager
    def _reporting(self) -> Iterator[None]:
        """Report any failure as `NotStored`; the next call connects and declares the topology again."""
        try:
            yield
        except (BrokerUnavailable, Refused, TimeoutError) as error:
            self._drop()
            raise NotStored(str(error) or "timeout") from error

    def _drop(self) -> None:
        for link in (self._link, self._query_link):
            if link is not None:
                link.drop()
        self._link = self._confirms = self._query_link = None


def _checked(link: Link | None) -> Link | None:
    """The link, after handling what has arrived on it; None when it is lost."""
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
