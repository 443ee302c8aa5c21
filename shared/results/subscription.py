"""The seam between a consumer and a broker."""

from collections.abc import Sequence
from typing import Protocol

from shared.results.received import Received


class Subscription(Protocol):
    """A consumer's side of one queue, for one thread (`holds`: any). All but `holds` may raise `BrokerUnavailable`."""

    def receive(self, wait: float) -> Sequence[Received]:
        """What has come, waited for at most `wait` seconds; keeps what is held."""

    def keep(self) -> None:
        """Keep what is held, and take nothing more."""

    def acknowledge(self, done: Sequence[Received]) -> None:
        """Take these off the queue, in the order in which they were received; those no longer ours stay."""

    def holds(self, received: Received) -> bool:
        """Whether it is still ours, as far as is known here; from any thread."""

    def close(self) -> None:
        """Hand back what is held, and let go. Never raises."""
