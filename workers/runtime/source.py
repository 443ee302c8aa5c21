"""A worker's side of a broker: what the pump and the maintenance need of it."""

from collections.abc import Collection, Sequence
from typing import Protocol

from shared.ledger.message_set import MessageSet
from shared.messaging.broker_thread import MessageSource
from shared.messaging.message import Message
from workers.runtime.settlement import Settlement


class Source(MessageSource[Settlement], Protocol):
    """The inner queues on one broker. To settle is to take a message off its queue, together with what it writes."""

    def give_back(self, tags: Sequence[str]) -> None:
        """Hand these messages back unsettled. Their deliveries count. Raises `BrokerUnavailable`."""

    def on_probation(self) -> bool:
        """Whether a message is in work that may have killed other workers."""

    def release(
        self, message_set: MessageSet, leaving: Sequence[tuple[str, Message]], *, results: bool
    ) -> Collection[str]:
        """Take items off a message set and publish a message for each. `leaving`: item ids with their messages.

        `results`: to the queues of results, else to the inner ones. Returns the ids of the items that this call has
        taken: other workers release at the same time. Raises `BrokerUnavailable`.
        """

    def oldest(self, queues: Sequence[str]) -> float | None:
        """When the oldest unsettled message of these queues was published, in unix seconds; None when there is none.

        A broker that can't be asked counts only the messages that this source has received. Raises `BrokerUnavailable`.
        """
