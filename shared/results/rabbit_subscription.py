from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from shared.messaging.errors import BrokerUnavailable
from shared.rabbit import Link, Topology, dialer
from shared.rabbit.topology import QUORUM
from shared.rabbit.unsettled import Unsettled
from shared.rabbit.wire import incoming
from shared.results.queue import ResultQueue
from shared.results.received import Received

HEARTBEAT_SECONDS: Final = 10.0
EXCHANGE_SECONDS: Final = 5.0
"""How long the broker may take over one exchange before the connection is given up."""
ALONE: Final = 1
DELIVERY_COUNT: Final = "x-delivery-count"


class RabbitSubscription:
    """A consumer of a quorum queue on RabbitMQ.

    RabbitMQ counts a delivery for everything that a dead consumer held, so several messages are held only after that
    many in a row came for the first time. From a redelivered one on it is one by one: then the count is of the deaths
    over this very message.
    """

    def __init__(self, url: str, queue: ResultQueue, prefetch: int, topics: Sequence[str]) -> None:
        """`topics`: what is routed to the queue, such as `decision.*.rejected`; everything of its kind if empty."""
        self._dialer = dialer(url, EXCHANGE_SECONDS, HEARTBEAT_SECONDS)
        self._queue = queue
        self._prefetch = prefetch
        self._topics = topics or (queue.topic,)
        self._link: Link | None = None
        self._session = 0
        """Counts the connections: delivery tags begin anew with each."""
        self._unsettled = Unsettled()
        self._held = 0
        self._consumer_tag = ""
        self._allowed = 0
        """How many the present consumer may hold; 0 without one."""
        self._first_deliveries = 0
        """How many have come in a row."""
        self._batch: list[Received] = []

    def receive(self, wait: float) -> Sequence[Received]:
        """What has come, waited for at most `wait` seconds."""
        with self._reporting():
            link = self._link or self._open()
            with link.guarded():
                self._allow(link.channel)
            link.drain(0.0 if self._batch else wait)  # to stop a consumer may have brought some
        batch, self._batch = self._batch, []
        return batch

    def keep(self) -> None:
        """Answer heartbeats."""
        if self._link is not None:
            with self._reporting():
                with self._link.guarded():
                    self._consume(self._link.channel, 0)
                self._link.drain()

    def acknowledge(self, done: Sequence[Received]) -> None:
        """Acknowledge them all by as few words as can be."""
        tags = [received.tag[1] for received in done if self.holds(received)]
        if self._link is not None and tags:
            with self._reporting(), self._link.guarded():
                self._allow(self._link.channel)  # before there is room: nothing is on its way to a full consumer
                for tag, multiple in self._unsettled.settle(tags):
                    self._link.channel.basic_ack(tag, multiple)
            self._held -= len(tags)

    def holds(self, received: Received) -> bool:
        """Whether the connection that brought it still stands."""
        session, tag = received.tag
        return bool(session == self._session and tag in self._unsettled)

    def close(self) -> None:
        """Hand back what is held: closing does that."""
        if self._link is not None:
            self._link.close()
            self._link = None

    def _open(self) -> Link:
        link = Link(self._dialer)
        with link.guarded():
            queue = self._queue
            for topic in self._topics:
                Topology({queue.own: QUORUM, queue.dead: QUORUM}, queue.prefix, {queue.own: topic}).declare(
                    link.channel
                )
        self._link = link
        self._allowed = self._first_deliveries = self._held = 0
        return link

    def _allow(self, channel: Any) -> None:
        """Have the broker hand over as many at once as are safe now."""
        if self._first_deliveries >= self._prefetch:
            self._consume(channel, self._prefetch)
        elif self._allowed > ALONE:
            self._consume(channel, 0)  # first what is held, then one by one
        elif not self._held:
            self._consume(channel, ALONE)

    def _consume(self, channel: Any, most: int) -> None:
        """Hold at most so many from now on; a limit can't be changed under a consumer."""
        if most == self._allowed:
            return
        if self._allowed:
            channel.basic_cancel(self._consumer_tag)
        if most:
            channel.basic_qos(0, most, a_global=False)
            self._consumer_tag = channel.basic_consume(self._queue.own, callback=self._note)
        self._allowed = most

    def _note(self, message: Any) -> None:
        headers, content_type, body = incoming(message)
        count = headers.get(DELIVERY_COUNT, 0)
        earlier = count if isinstance(count, int) else 0
        self._first_deliveries = 0 if earlier else self._first_deliveries + 1
        self._unsettled.add(message.delivery_tag)
        self._held += 1
        self._batch.append(Received((self._session, message.delivery_tag), body, content_type, headers, earlier))

    @contextmanager
    def _reporting(self) -> Iterator[None]:
        """A lost connection takes with it all that was held: the broker hands it over once more."""
        try:
            yield
        except BrokerUnavailable as error:
            self._link = None
            self._session += 1
            self._unsettled, self._batch = Unsettled(), []
            raise BrokerUnavailable(str(error)) from error
