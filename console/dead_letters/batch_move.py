"""Taking items off a message set in batches: at a rate, to be interrupted at any time and begun again."""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from shared.ledger.message_set import PAGE, Command, MessageSet, TakeRefused
from shared.messaging.stored_message import StoredMessage

BATCH_BYTES: Final = 4_000_000
STEPS_A_SECOND: Final = 10
"""Batches a second where there is a rate, so that it is held evenly."""


class BatchAction(Protocol):
    """How items leave."""

    def can_take(self, stored: StoredMessage) -> bool:
        """Whether an item can leave this way; if not, it stays."""

    def prepare(self, batch: Sequence[StoredMessage]) -> None:
        """Do what has to be done before they leave; may be done twice for an item."""

    def commands(self, stored: StoredMessage) -> Sequence[Command]:
        """What Redis does in the same step in which it takes the item off."""


@dataclass(slots=True)
class MoveCounts:
    """What became of the items."""

    left: int = 0
    gone: int = 0
    """Already taken by somebody else."""
    refused: Counter[str] = field(default_factory=Counter)
    """By why; these stay where they were."""

    def note(self, results: Sequence[bool | None]) -> None:
        """Count what a take came to; None stands for refused."""
        self.left += list(results).count(True)
        self.gone += list(results).count(False)


class Pace:
    """Holds work to so many items a second; without a rate it never waits."""

    def __init__(
        self,
        rate: float | None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._rate = rate
        self._clock = clock
        self._sleep = sleep
        self._free_at = clock()

    @property
    def batch(self) -> int:
        """Items at once."""
        return PAGE if self._rate is None else max(1, min(PAGE, int(self._rate / STEPS_A_SECOND)))

    def wait(self, count: int) -> None:
        """Wait until `count` items may go."""
        if self._rate is None:
            return
        self._sleep(max(0.0, self._free_at - self._clock()))
        self._free_at = max(self._free_at, self._clock()) + count / self._rate


def move(
    message_set: MessageSet,
    items: Iterable[StoredMessage],
    action: BatchAction,
    pace: Pace,
    counts: MoveCounts,
    advance: Callable[[int], None],
) -> None:
    """Take items off the message set and count in `counts` what became of them.

    `advance` is called with the size of each batch.
    """
    for batch in batches(items, pace.batch):
        leaving = [stored for stored in batch if action.can_take(stored)]
        if len(leaving) < len(batch):
            counts.refused["NO_SUCH_QUEUE"] += len(batch) - len(leaving)
        pace.wait(len(leaving))
        action.prepare(leaving)
        _take(message_set, leaving, action, counts)
        advance(len(batch))


def batches(items: Iterable[StoredMessage], most: int) -> Iterator[list[StoredMessage]]:
    """Items by so many at once, fewer where they are large."""
    batch, size = list[StoredMessage](), 0
    for stored in items:
        batch.append(stored)
        size += _size(stored)
        if len(batch) == most or size >= BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _take(message_set: MessageSet, leaving: Sequence[StoredMessage], action: BatchAction, counts: MoveCounts) -> None:
    """Those that are still as they were: one that was published may have failed again, and lie there anew."""
    try:
        at = {stored.id: stored.at for stored in leaving}
        counts.note(message_set.take([(stored.id, action.commands(stored)) for stored in leaving], at))
    except TakeRefused as refusal:
        counts.note(refusal.results)
        counts.refused[str(refusal).partition(" ")[0]] += list(refusal.results).count(None)


def _size(stored: StoredMessage) -> int:
    return len(stored.message.body) if stored.message else sum(len(value) for _, value in stored.entry)
