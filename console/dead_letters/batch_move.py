"""Taking items off a shelf in batches: at a rate, to be interrupted at any time and begun again."""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from shared.ledger.message_set import PAGE, Command, Shelf, TakeRefused
from shared.messaging.stored_message import Parked

BATCH_BYTES: Final = 4_000_000
STEPS_A_SECOND: Final = 10
"""Batches a second where there is a rate, so that it is held evenly."""


class Departure(Protocol):
    """How items leave."""

    def can_take(self, parked: Parked) -> bool:
        """Whether an item can leave this way; if not, it stays."""

    def prepare(self, batch: Sequence[Parked]) -> None:
        """Do what has to be done before they leave; may be done twice for an item."""

    def commands(self, parked: Parked) -> Sequence[Command]:
        """What Redis does in the same step in which it takes the item off."""


@dataclass(slots=True)
class Tally:
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
    shelf: Shelf,
    items: Iterable[Parked],
    departure: Departure,
    pace: Pace,
    tally: Tally,
    advance: Callable[[int], None],
) -> None:
    """Take items off the shelf, noting in `tally` what became of them; `advance` is told the size of each batch."""
    for batch in batches(items, pace.batch):
        leaving = [parked for parked in batch if departure.can_take(parked)]
        if len(leaving) < len(batch):
            tally.refused["NO_SUCH_QUEUE"] += len(batch) - len(leaving)
        pace.wait(len(leaving))
        departure.prepare(leaving)
        _take(shelf, leaving, departure, tally)
        advance(len(batch))


def batches(items: Iterable[Parked], most: int) -> Iterator[list[Parked]]:
    """Items by so many at once, fewer where they are large."""
    batch, size = list[Parked](), 0
    for parked in items:
        batch.append(parked)
        size += _size(parked)
        if len(batch) == most or size >= BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _take(shelf: Shelf, leaving: Sequence[Parked], departure: Departure, tally: Tally) -> None:
    """Those that are still as they were: one that was published may have failed again, and lie there anew."""
    try:
        at = {parked.id: parked.at for parked in leaving}
        tally.note(shelf.take([(parked.id, departure.commands(parked)) for parked in leaving], at))
    except TakeRefused as refusal:
        tally.note(refusal.results)
        tally.refused[str(refusal).partition(" ")[0]] += list(refusal.results).count(None)


def _size(parked: Parked) -> int:
    return len(parked.post.body) if parked.post else sum(len(value) for _, value in parked.entry)
