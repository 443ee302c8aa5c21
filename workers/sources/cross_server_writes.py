"""What a settlement writes to other servers than the one that holds its message: it can't go in one step with it.

So it goes before the message leaves its queue, and a settling that fails midway is tried again: a write to the ledger
changes nothing when repeated (but for a bad signature, which then counts twice), and what a broker has confirmed is not
published a second time.
"""

from collections.abc import Callable, Sequence
from typing import Final

from redis import Redis

from shared.ledger.message_set import MessageSet
from shared.messaging.message import Message
from shared.messaging.publisher import Publisher
from workers.runtime.settlement import Settlement

RELEASE_SECONDS: Final = 10.0
"""Longer than a publication may take, and soon enough for the next worker to try."""


def write(ledger: "Redis", settlements: Sequence[Settlement]) -> None:
    """What goes to the ledger's Redis first. Raises RedisError."""
    _run(ledger, [command for settlement in settlements for command in settlement.writes])


def mark(ledger: "Redis", settlements: Sequence[Settlement]) -> None:
    """The marks, last, and only for what is out: without one a result may go out twice, with it too early never."""
    _run(ledger, [("HSETNX", *settlement.once) for settlement in settlements if settlement.once is not None])


def release(message_set: MessageSet, leaving: Sequence[tuple[str, Message]], publisher: Publisher) -> None:
    """Publish a message for each item, then take it off: one worker at a time, so that an item is not published twice
    but where a worker dies in between, or takes longer. Raises RedisError and `NotStored`.

    Whoever works on the message may have put the item back by then: that one stays.
    """
    ours = message_set.claim([item for item, _ in leaving], RELEASE_SECONDS)
    publisher.publish([message for item, message in leaving if item in ours])
    message_set.take([(item, ()) for item in ours], at=ours)


class SettlementPublisher:
    """Publishes what settlements hold for one broker; each only once, however often its settling is tried."""

    def __init__(self, publisher: Publisher, posts_of: Callable[[Settlement], Sequence[Message]]) -> None:
        self.publisher = publisher
        self._posts_of = posts_of
        self._out: set[str] = set()

    def publish(self, settlements: Sequence[Settlement]) -> None:
        """All that is not out yet; raises `NotStored`."""
        due = [settlement for settlement in settlements if settlement.tag not in self._out]
        self.publisher.publish([message for settlement in due for message in self._posts_of(settlement)])
        self._out.update(settlement.tag for settlement in due if self._posts_of(settlement))

    def has_sent(self, settlement: Settlement) -> bool:
        """Whether something of it is out already."""
        return settlement.tag in self._out

    def forget(self, settlements: Sequence[Settlement]) -> None:
        """They are settled."""
        self._out.difference_update(settlement.tag for settlement in settlements)


def _run(redis: "Redis", commands: Sequence[tuple[str | bytes | int, ...]]) -> None:
    if commands:
        with redis.pipeline(transaction=False) as pipe:
            for command in commands:
                pipe.execute_command(*command)
            pipe.execute()
