from collections import deque
from collections.abc import Iterable
from logging import getLogger
from typing import Any

from kombu.transport import virtual
from redis.exceptions import RedisError

from shared.streams.delivery import Delivery

_log = getLogger(__name__)


class Deliveries(virtual.QoS):
    """The deliveries that a channel holds, and the settlements that are still to be sent.

    Any thread may settle a delivery: the settlement is only recorded here, and the channel sends it later.
    """

    def __init__(self, channel: Any, prefetch_count: int = 0) -> None:
        super().__init__(channel, prefetch_count)  # type: ignore[no-untyped-call]
        self._held: dict[str, Delivery] = {}
        self.acked: deque[Delivery] = deque()
        """Acknowledged, not yet sent."""
        self.returned: deque[Delivery] = deque()
        """To be handed back, not yet sent."""

    def hold(self, deliveries: Iterable[Delivery]) -> None:
        """Record that this channel holds these deliveries."""
        self._held.update((delivery.tag, delivery) for delivery in deliveries)

    def held(self) -> list[Delivery]:
        """The deliveries that are not settled and whose lease is not known to be lost."""
        return [delivery for delivery in list(self._held.values()) if not delivery.lease_lost]

    def held_ids(self, queue: str) -> set[bytes]:
        """The entry ids of a queue that are held, or settled with the settlement not yet sent."""
        unsettled = (*self.held(), *self.acked.copy(), *self.returned.copy())
        return {delivery.entry_id for delivery in unsettled if delivery.queue == queue}

    def find(self, tag: str) -> Delivery | None:
        """The delivery of this tag. None when it is settled or its lease is lost."""
        delivery = self._held.get(tag)
        return None if delivery is None or delivery.lease_lost else delivery

    def forget(self, tag: str) -> Delivery | None:
        """Remove and return the delivery of this tag. None when it is settled or its lease is lost."""
        delivery = self._held.pop(tag, None)
        return None if delivery is None or delivery.lease_lost else delivery

    @property
    def busy(self) -> bool:
        """Whether a delivery is held or a settlement is waiting: then a read for new messages must not wait long."""
        return bool(self._held or self.acked or self.returned)

    def capacity(self, most: int) -> int:
        """How many more deliveries the prefetch count allows, at most `most`. Without a prefetch count: `most`."""
        return min(most, max(self.prefetch_count - len(self._held), 0)) if self.prefetch_count else most

    # The methods below are the interface of kombu's QoS.

    def can_consume(self) -> bool:
        """Whether the prefetch count allows another message."""
        return self.capacity(1) > 0

    def can_consume_max_estimate(self) -> int | None:
        """How many more messages the prefetch count allows. None without a prefetch count."""
        return self.capacity(self.prefetch_count) if self.prefetch_count else None

    def append(self, message: Any, delivery_tag: str) -> None:
        """Do nothing: `hold` has recorded the delivery when it was read."""

    def get(self, delivery_tag: str) -> Delivery:
        """The delivery of this tag. Raises KeyError when it is not held."""
        return self._held[delivery_tag]

    def ack(self, delivery_tag: str, multiple: bool = False) -> None:
        """Record that the message is acknowledged, with `multiple` also every message received before it."""
        tags = self._up_to(delivery_tag) if multiple else [delivery_tag]
        self.acked.extend(delivery for tag in tags if (delivery := self.forget(tag)))

    def _up_to(self, tag: str) -> list[str]:
        tags = list(self._held)
        return tags[: tags.index(tag) + 1] if tag in tags else []

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        """Record that the message goes back to the queue (`requeue`) or is to be deleted."""
        if (delivery := self.forget(delivery_tag)) is None:
            return
        if requeue:
            self.returned.append(delivery)
        else:
            _log.warning("deleting rejected entry %s of %s", delivery.entry_id.decode(), delivery.queue)
            self.acked.append(delivery)

    def restore_unacked(self) -> None:
        """Hand back every held delivery. Raises a connection error."""
        for tag in list(self._held):
            self.reject(tag, requeue=True)
        self.channel.flush()

    def restore_unacked_once(self, stderr: Any = None) -> None:
        """Hand back every held delivery at close or exit. Without a server the leases end by themselves."""
        self._on_collect.cancel()
        try:
            self.channel.leave_groups()
        except RedisError as error:
            _log.warning("closed without handing messages back: Redis is unreachable (%s)", type(error).__name__)
