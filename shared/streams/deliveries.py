from collections import deque
from collections.abc import Iterable
from logging import getLogger
from typing import Any

from kombu.transport import virtual
from redis.exceptions import RedisError

from shared.streams.delivery import Delivery

_log = getLogger(__name__)


class Deliveries(virtual.QoS):
    """The deliveries that a channel holds, and what was decided about those it no longer does.

    Any thread may settle: a decision is only noted here, the channel sends it.
    """

    def __init__(self, channel: Any, prefetch_count: int = 0) -> None:
        super().__init__(channel, prefetch_count)  # type: ignore[no-untyped-call]
        self._held: dict[str, Delivery] = {}
        self.acked: deque[Delivery] = deque()
        self.returned: deque[Delivery] = deque()

    def hold(self, deliveries: Iterable[Delivery]) -> None:
        """Count these as ours from now on."""
        self._held.update((delivery.tag, delivery) for delivery in deliveries)

    def held(self) -> list[Delivery]:
        """Those that are ours, as far as we know."""
        return [delivery for delivery in list(self._held.values()) if not delivery.lost]

    def held_ids(self, queue: str) -> set[bytes]:
        """The entries of a queue among them, with those whose settlement is still to be sent."""
        open_ = (*self.held(), *self.acked.copy(), *self.returned.copy())
        return {delivery.entry_id for delivery in open_ if delivery.queue == queue}

    def find(self, tag: str) -> Delivery | None:
        """The delivery, unless it is settled or lost."""
        delivery = self._held.get(tag)
        return None if delivery is None or delivery.lost else delivery

    def forget(self, tag: str) -> Delivery | None:
        """Take the delivery out; None when it is not there or was lost."""
        delivery = self._held.pop(tag, None)
        return None if delivery is None or delivery.lost else delivery

    @property
    def busy(self) -> bool:
        """Whether something is held or noted, so that nobody should wait long for new messages."""
        return bool(self._held or self.acked or self.returned)

    def room(self, most: int) -> int:
        """How many more may be taken, at most `most`."""
        return min(most, max(self.prefetch_count - len(self._held), 0)) if self.prefetch_count else most

    # From here on kombu's own interface.

    def can_consume(self) -> bool:
        """Whether the prefetch count allows another message."""
        return self.room(1) > 0

    def can_consume_max_estimate(self) -> int | None:
        """How many more messages the prefetch count allows; None without one."""
        return self.room(self.prefetch_count) if self.prefetch_count else None

    def append(self, message: Any, delivery_tag: str) -> None:
        """Nothing to do: a delivery is held from the moment it is read."""

    def get(self, delivery_tag: str) -> Delivery:
        """The delivery; raises KeyError when it is not held."""
        return self._held[delivery_tag]

    def ack(self, delivery_tag: str, multiple: bool = False) -> None:
        """Note that the message, or with `multiple` every message up to it, is done."""
        tags = self._up_to(delivery_tag) if multiple else [delivery_tag]
        self.acked.extend(done for tag in tags if (done := self.forget(tag)))

    def _up_to(self, tag: str) -> list[str]:
        tags = list(self._held)
        return tags[: tags.index(tag) + 1] if tag in tags else []

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        """Note that the message goes back to the queue, or is to be deleted."""
        if (delivery := self.forget(delivery_tag)) is None:
            return
        if requeue:
            self.returned.append(delivery)
        else:
            _log.warning("deleting rejected entry %s of %s", delivery.entry_id.decode(), delivery.queue)
            self.acked.append(delivery)

    def restore_unacked(self) -> None:
        """Hand back everything that is held."""
        for tag in list(self._held):
            self.reject(tag, requeue=True)
        self.channel.flush()

    def restore_unacked_once(self, stderr: Any = None) -> None:
        """The same at close or exit, where kombu calls it. Without a server the leases just end."""
        self._on_collect.cancel()
        try:
            self.channel.leave()
        except RedisError as error:
            _log.warning("left without telling the server (%s)", type(error).__name__)
