"""Publishing to a broker, batch by batch."""

from collections.abc import Sequence
from typing import Protocol

from shared.messaging.memory import Memory
from shared.messaging.message import Message


class NotStored(Exception):
    """The broker refused the messages or did not confirm them in time; it may have stored some of them.

    The message names the cause, never a URL.
    """


class MessageRefused(NotStored):
    """The broker refuses one of the messages for good. It may have stored any of the others."""


class Publisher(Protocol):
    """A connection to a broker, for one thread. It connects anew after a failure.

    All but `keep` and `close` may raise `NotStored`.
    """

    def publish(self, messages: Sequence[Message]) -> None:
        """Store all of `messages`, in order: when this returns, the broker has every one of them."""

    def depths(self, queues: Sequence[str]) -> list[int]:
        """Messages waiting in each of `queues`; on Redis those in work too. Creates missing queues."""

    def memory(self) -> Memory:
        """The broker's memory. Without a limit where it reports none; used up when it accepts nothing."""

    def keep(self) -> None:
        """Keep the connection alive: call it about every second between other calls. Never raises."""

    def close(self) -> None:
        """Close the connection; the next call opens a new one. Never raises."""
