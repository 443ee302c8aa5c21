"""Publishing batches to a broker: when a call returns, the broker holds every message of it."""

from collections.abc import Sequence
from typing import Protocol

from shared.messaging.message import Message


class NotStored(Exception):
    """The broker did not take the messages, or did not say so in time; some may be there all the same."""


class Publisher(Protocol):
    """One connection to one broker, for one thread; made anew by itself after a failure. All may raise `NotStored`."""

    def publish(self, messages: Sequence[Message]) -> None:
        """Store all of `messages`, in order."""

    def depth(self, queues: Sequence[str]) -> int:
        """Messages waiting in `queues`, made where missing; where the broker tells, those in work too."""

    def fullness(self) -> float:
        """The share of its memory limit that the broker uses, as far as it tells; 1 when it takes nothing in."""

    def keep(self) -> None:
        """Keep the connection alive; to be called every second or so where nothing else is. Never raises."""

    def close(self) -> None:
        """Let go of the connection; the next call makes a new one. Never raises."""
