"""Where a worker's messages come from and are settled: the seam between the pump and a broker."""

from collections.abc import Sequence
from typing import Protocol

from shared.ledger.message_set import MessageSet
from shared.messaging.message import Message
from workers.runtime.delivery import Delivery
from workers.runtime.settlement import Settlement


class Source(Protocol):
    """One worker's side of a broker. All calls come from one thread; all may raise `BrokerUnavailable`."""

    def receive(self, wait: float) -> Sequence[Delivery]:
        """A batch of messages, waited for at most `wait` seconds; keeps the leases of those in work."""

    def settle(self, settlements: Sequence[Settlement]) -> None:
        """Take messages off their queues, each with what it writes; once, if called again after a failure."""

    def renew(self) -> None:
        """Keep the leases of those in work, and read nothing."""

    def release(self, message_set: MessageSet, leaving: Sequence[tuple[str, Message]], *, results: bool) -> None:
        """Take items off a message set and publish a message for each, to the inner queues or to those of results."""

    def oldest(self, queues: Sequence[str]) -> float | None:
        """When the message that has waited longest in these queues was put there, unix seconds.

        None when none waits. Where the broker can't be asked, as far as is known from what this source has received.
        """

    def close(self) -> None:
        """Hand back what is still in work, and let go. Never raises."""
