"""Move items off a message set in batches, at a rate. A move may be interrupted and run again."""

import json
import os
import pwd
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Literal, Protocol, Self

from console.dead_letters.selection import Selection, SelectionCounts
from console.terminal.output import print_error, print_line, progress
from shared.ledger.case_key import CaseKey, case_key
from shared.ledger.message_set import PAGE, Bounds, Command, MessageSet, SetName, TakeRefused, put_commands
from shared.messaging.stored_message import StoredMessage
from shared.settings import Settings

BATCH_BYTES: Final = 4_000_000
BATCHES_A_SECOND: Final = 10
"""With a rate, so that it is held evenly."""
DAY_MS: Final = 86_400_000
TOMBSTONES: Final = 10_000
"""Tombstones kept; the oldest are deleted first."""
NO_QUEUE: Final = "NO_SUCH_QUEUE"
"""Refusal of an item that fits no queue of this broker."""
UNREADABLE: Final = "stored in a form that this version can't read"
SHORTENED: Final = "BODY_SHORTENED"
"""Refusal of an item of whose body only the first part is kept."""
_HINTS: Final = {
    NO_QUEUE: (
        "RabbitMQ can't hold a Redis stream entry that can't be read. Look at it with show --reveal, then drop it."
    ),
    SHORTENED: (
        "Of a long unverified body only the first part is kept, so it can't be verified again. show has the length and"
        " the SHA-256 of the whole body. Have it sent again, or drop it."
    ),
}


class BatchAction(Protocol):
    """What happens to the items."""

    def refusal(self, stored: StoredMessage) -> str:
        """A code that says why this action can't move the item, which then stays. Empty when it can."""

    def prepare(self, batch: Sequence[StoredMessage]) -> None:
        """Do what must be done before the items leave. May be done twice for an item."""

    def commands(self, stored: StoredMessage) -> Sequence[Command]:
        """The Redis commands that run in the same step in which the item leaves the message set."""


@dataclass(frozen=True, slots=True)
class MoveContext:
    """Who moves items, from which message set, when and why."""

    prefix: str
    message_set: SetName
    by: str
    at: float
    """Unix seconds."""
    note: str
    retention_ms: int
    """TTL of a case after a move is noted on it."""

    @classmethod
    def now(cls, settings: Settings, message_set: SetName, note: str = "") -> Self:
        """A move by this user at this time."""
        return cls(settings.prefix, message_set, os_user(), time.time(), note, int(settings.retention_days * DAY_MS))

    def note_commands(self, kind: Literal["replay", "drop"], stored: StoredMessage) -> tuple[Command, ...]:
        """The Redis commands that note the move on the item's case; none when the case is not known."""
        if not stored.biz_id:
            return ()
        key = case_key(self.prefix, CaseKey(stored.account, stored.biz_id))
        note = {
            "by": self.by,
            "note": self.note,
            "message_set": self.message_set,
            "stage": stored.stage,
            "reason": stored.reason,
        }
        field = f"{kind}:{stored.id}:{self.at * 1000:.0f}"
        return (("HSET", key, field, json.dumps(note)), ("PEXPIRE", key, self.retention_ms))

    def replay_commands(self, stored: StoredMessage) -> tuple[Command, ...]:
        """The commands that note a replay: on the item's case, or else in a tombstone, when there is a note to keep."""
        if stored.biz_id or not self.note:
            return self.note_commands("replay", stored)
        return self.tombstone_commands(stored, f"replayed by {self.by}: {self.note}")

    def make_room(self, tombstones: MessageSet, batch: Sequence[StoredMessage]) -> None:
        """Delete the oldest tombstones, so that those of this batch are not too many."""
        tombstones.trim(Bounds(items=TOMBSTONES - len(batch)))

    def tombstone_commands(self, stored: StoredMessage, detail: str) -> tuple[Command, ...]:
        """The commands that leave a tombstone of the item, without its message."""
        tombstone = replace(stored, at=self.at, detail=detail, message=None, entry=())
        return put_commands(self.prefix, "tombstones", tombstone)


@dataclass(slots=True)
class MoveCounts:
    """What happened to the items."""

    moved: int = 0
    gone: int = 0
    """Items that somebody else took first."""
    refused: Counter[str] = field(default_factory=Counter)
    """By error code. These items stay."""

    def add(self, results: Sequence[bool | None]) -> None:
        """Count the results of `MessageSet.take`; None, for refused, is not counted here."""
        self.moved += list(results).count(True)
        self.gone += list(results).count(False)

    def print(self, done: str) -> None:
        """Print the counts, and what to do about refused items. `done` says what was done, such as `replayed`."""
        print_line(f"{self.moved:,} {done}")
        if self.gone:
            print_line(f"{self.gone:,} already gone: replayed or dropped by somebody else")
        for code, count in self.refused.items():
            print_error(f"{count:,} refused ({code}) and not {done}.", _hint(code))


class Pace:
    """Limits the work to so many items a second. Without a rate it never waits."""

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
        """Items in a batch."""
        return PAGE if self._rate is None else max(1, min(PAGE, int(self._rate / BATCHES_A_SECOND)))

    def wait(self, count: int) -> None:
        """Wait until `count` items may go."""
        if self._rate is None:
            return
        self._sleep(max(0.0, self._free_at - self._clock()))
        self._free_at = max(self._free_at, self._clock()) + count / self._rate


def run(
    message_set: MessageSet, selection: Selection, found: SelectionCounts, action: BatchAction, pace: Pace, done: str
) -> int:
    """Move the selected items with a progress bar, and print the counts; returns the exit code."""
    counts = MoveCounts()
    try:
        with progress() as shown:
            bar = shown.add_task(done, total=found.total)
            move(message_set, selection.find(message_set), action, pace, counts, lambda n: shown.advance(bar, n))
    except KeyboardInterrupt:
        print_error("Interrupted.", "Run the same command again for the rest.")
        return 1
    finally:
        counts.print(done)
    if counts.refused:
        return 1
    return 1 if found.missing else 0


def move(
    message_set: MessageSet,
    items: Iterable[StoredMessage],
    action: BatchAction,
    pace: Pace,
    counts: MoveCounts,
    advance: Callable[[int], None],
) -> None:
    """Move items off the message set, and count in `counts` what happened to them.

    `advance` is called with the size of each batch.
    """
    for batch in batches(items, pace.batch):
        leaving = [stored for stored in batch if not action.refusal(stored)]
        counts.refused.update(code for stored in batch if (code := action.refusal(stored)))
        pace.wait(len(leaving))
        action.prepare(leaving)
        _take(message_set, leaving, action, counts)
        advance(len(batch))


def batches(items: Iterable[StoredMessage], most: int) -> Iterator[list[StoredMessage]]:
    """Batches of `most` items, or of fewer when they are large."""
    batch, size = list[StoredMessage](), 0
    for stored in items:
        batch.append(stored)
        size += _size(stored)
        if len(batch) == most or size >= BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def os_user() -> str:
    """The operating system's name of the user who runs this command, or the user's number."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def _take(message_set: MessageSet, leaving: Sequence[StoredMessage], action: BatchAction, counts: MoveCounts) -> None:
    """Take the items that have not changed. An item that was published may have failed again: the new one stays."""
    try:
        at = {stored.id: stored.at for stored in leaving}
        counts.add(message_set.take([(stored.id, action.commands(stored)) for stored in leaving], at))
    except TakeRefused as refusal:
        counts.add(refusal.results)
        counts.refused[str(refusal).partition(" ")[0]] += list(refusal.results).count(None)


def _hint(code: str) -> str:
    return _HINTS.get(
        code, "Redis refused a command. Check the type of the queue's key and Redis's memory, then run this again."
    )


def _size(stored: StoredMessage) -> int:
    return len(stored.message.body) if stored.message else sum(len(value) for _, value in stored.entry)
