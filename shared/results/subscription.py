"""What a consumer needs of a broker."""

from typing import Protocol

from shared.messaging.broker_thread import MessageSource
from shared.messaging.delivery import Delivery


class Subscription(MessageSource[Delivery], Protocol):
    """A consumer's side of one queue. To settle a message is to acknowledge it; one that is no longer held stays."""

    def holds(self, delivery: Delivery) -> bool:
        """Whether the message is still this consumer's, as far as is known here. Callable from any thread."""
