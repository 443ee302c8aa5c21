"""What a settlement writes to other servers than the one that holds its message.

The two can't be changed in one step, so these writes come before the message leaves its queue. A settlement that fails
in between is tried again. A repeated write to the ledger changes nothing, except that a bad signature counts twice.
What a broker has confirmed is not published again.
"""

from collections.abc import Callable, Collection, Sequence
from typing import Final

import structlog
from redis import Redis

from shared.ledger.message_set import MessageSet, run_commands
from shared.messaging.message import Message
from shared.messaging.publisher import MessageRefused, Publisher
from workers.runtime.settlement import Settlement

log = structlog.get_logger()

RELEASE_SECONDS: Final = 10.0
"""How long a worker has claimed the items that it publishes: longer than publishing may take."""


def write(ledger: "Redis", settlements: Sequence[Settlement]) -> dict[str, str]:
    """Run the writes to the ledger, before publishing. Raises RedisError.

    Returns the code of the error for the tag of each settlement that the ledger refuses for good.
    """
    pairs = [(settlement.tag, command) for settlement in settlements for command in settlement.writes]
    codes = run_commands(ledger, [command for _, command in pairs])
    return {tag: code for (tag, _), code in zip(pairs, codes, strict=True) if code}


def mark(ledger: "Redis", settlements: Sequence[Settlement]) -> None:
    """Set the marks of what is published. Raises RedisError.

    A mark is written after publishing: a crash in between may publish a result twice, but never loses it. A mark that
    is refused is left out: its result is published all the same.
    """
    marked = [settlement for settlement in settlements if settlement.once is not None]
    codes = run_commands(ledger, [("HSETNX", *settlement.once) for settlement in marked if settlement.once])
    for code in filter(None, codes):
        log.error("mark.refused", code=code)


def release(message_set: MessageSet, leaving: Sequence[tuple[str, Message]], publisher: Publisher) -> Collection[str]:
    """Publish a message for each item, then take it off the message set; returns the ids of those of this worker.

    One worker at a time claims an item. It is published twice only when that worker dies in between, or takes longer
    than `RELEASE_SECONDS`. An item that was put back after its message was published stays.
    Raises RedisError and `NotStored`.
    """
    claimed = message_set.claim([item for item, _ in leaving], RELEASE_SECONDS)
    publisher.publish([message for item, message in leaving if item in claimed])
    message_set.take([(item, ()) for item in claimed], at=claimed)
    return claimed


class SettlementPublisher:
    """Publishes what settlements hold for one broker: each once, however often its settling is tried."""

    def __init__(self, publisher: Publisher, messages_of: Callable[[Settlement], Sequence[Message]]) -> None:
        """`messages_of`: the messages of a settlement that are for this broker."""
        self.publisher = publisher
        self._messages_of = messages_of
        self._sent: set[str] = set()

    def publish(self, settlements: Sequence[Settlement]) -> dict[str, str]:
        """Publish all that is not sent yet. Raises `NotStored`.

        Returns the code of the error for the tag of each settlement whose messages the broker refuses for good.
        """
        due = [settlement for settlement in settlements if settlement.tag not in self._sent]
        try:
            self.publisher.publish([message for settlement in due for message in self._messages_of(settlement)])
        except MessageRefused as error:
            if len(due) == 1:
                return {due[0].tag: str(error)}
            return {tag: code for settlement in due for tag, code in self.publish([settlement]).items()}
        self._sent.update(settlement.tag for settlement in due if self._messages_of(settlement))
        return {}

    def has_sent(self, settlement: Settlement) -> bool:
        """Whether messages of it are sent."""
        return settlement.tag in self._sent

    def forget(self, settlements: Sequence[Settlement]) -> None:
        """These are settled: they won't come again."""
        self._sent.difference_update(settlement.tag for settlement in settlements)

    def keep(self) -> None:
        """Keep the connection alive. Never raises."""
        self.publisher.keep()

    def close(self) -> None:
        """Close the connection. Never raises."""
        self.publisher.close()
