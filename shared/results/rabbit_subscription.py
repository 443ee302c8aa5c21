from collections.abc import Sequence
from typing import Any, Final

from shared.messaging.delivery import DELIVERY_COUNT, Delivery
from shared.rabbit import Receiver, Topology, dialer
from shared.rabbit.amqp_message import from_amqp
from shared.rabbit.receiver import Position
from shared.rabbit.topology import QUORUM
from shared.results.queue import ResultQueue

HEARTBEAT_SECONDS: Final = 10.0
EXCHANGE_SECONDS: Final = 5.0
"""How long the broker may take over one exchange before the connection is given up."""


class RabbitSubscription(Receiver):
    """A consumer of a quorum queue on RabbitMQ.

    RabbitMQ counts a delivery for every message that a dead consumer held. So that the count identifies the message
    that killed it, a redelivered message is held alone. Up to `prefetch` messages are held once that many in a row were
    delivered for the first time.
    """

    def __init__(self, url: str, queue: ResultQueue, prefetch: int, topics: Sequence[str]) -> None:
        """`topics`: what is routed to the queue, such as `decision.*.rejected`; everything of its kind if empty."""
        bindings = {queue.own: topics or (queue.topic,)}
        topology = Topology({queue.own: QUORUM, queue.dead: QUORUM}, queue.prefix, bindings)
        super().__init__(dialer(url, EXCHANGE_SECONDS, HEARTBEAT_SECONDS), topology)
        self._queue = queue.own
        self._prefetch = prefetch
        self._consumer_tag = ""
        self._limit = 0
        """How many messages the present consumer may hold; 0 without a consumer."""
        self._first_deliveries = 0
        """How many messages in a row were delivered for the first time."""
        self._batch: list[Delivery] = []

    def receive(self, wait: float) -> Sequence[Delivery]:
        """What has arrived, waited for at most `wait` seconds."""
        with self._connected() as link:
            with link.guarded():
                self._adjust_limit(link.channel)
            link.drain(0.0 if self._batch else wait)  # cancelling a consumer may have brought some
        batch, self._batch = self._batch, []
        return batch

    def renew(self) -> None:
        """Answer heartbeats, and have nothing more delivered."""
        if self._link is not None:
            with self._connected() as link:
                with link.guarded():
                    self._set_limit(link.channel, 0)
                link.drain()

    def settle(self, settlements: Sequence[Delivery]) -> None:
        """Acknowledge these messages."""
        if not any(map(self.holds, settlements)):
            return
        with self._connected() as link, link.guarded():
            self._adjust_limit(link.channel)  # before there is room: nothing is on its way to a full consumer
        self._acknowledge(delivery.tag for delivery in settlements)

    def holds(self, delivery: Delivery) -> bool:
        """Whether the connection that brought it still stands."""
        return self.is_open(delivery.tag)

    def _begin(self, _channel: Any) -> None:
        self._limit = self._first_deliveries = 0

    def _forget(self) -> None:
        super()._forget()
        self._batch = []

    def _adjust_limit(self, channel: Any) -> None:
        """Have the broker deliver as many messages at once as are safe now."""
        if self._first_deliveries >= self._prefetch:
            self._set_limit(channel, self._prefetch)
        elif self._limit > 1:
            self._set_limit(channel, 0)  # finish what is held, then go on one by one
        elif not len(self._open):
            self._set_limit(channel, 1)

    def _set_limit(self, channel: Any, limit: int) -> None:
        """Hold at most so many messages. The limit of a consumer can't be changed, so it is replaced."""
        if limit == self._limit:
            return
        if self._limit:
            channel.basic_cancel(self._consumer_tag)
        if limit:
            channel.basic_qos(0, limit, a_global=False)
            self._consumer_tag = self._consume(channel, self._queue)
        self._limit = limit

    def _arrived(self, queue: str, position: Position, message: Any) -> None:
        headers, content_type, body = from_amqp(message)
        count = headers.get(DELIVERY_COUNT, 0)
        delivery_count = count if isinstance(count, int) else 0
        self._first_deliveries = 0 if delivery_count else self._first_deliveries + 1
        self._batch.append(Delivery(position, queue, headers, content_type, body, delivery_count))
