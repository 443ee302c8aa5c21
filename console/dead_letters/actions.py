"""What `faceid dead` and `faceid unverified` do."""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice
from typing import Final

import typer

from console.dead_letters.batch_move import BatchAction, MoveCounts, Pace, move
from console.dead_letters.rendering import counts, details, lines, summary, table
from console.dead_letters.replay import CrossServerReplay, Drop, MoveContext, Replay, os_user
from console.dead_letters.selection import Kind, Selection, Survey, size, survey
from console.terminal.errors import NotFound
from console.terminal.output import as_json, complain, out, plain, tabulate, tell
from console.terminal.progress import progress
from console.terminal.redis_connection import TIMEOUT, open_redis
from console.terminal.time_format import rfc3339, span
from shared.brokers.factory import open_connection, open_publisher
from shared.ledger.message_set import Command, MessageSet, SetName
from shared.messaging.engine import engine_of
from shared.messaging.stored_message import StoredMessage
from shared.messaging.topology import BY_STAGE, INNER_QUEUES, queue_name
from shared.settings import Settings, load_settings

NOUNS: Final[dict[SetName, str]] = {"dead": "dead letters", "unverified": "unverified callbacks"}
ROWS: Final = 100
"""Rows of a listing for people, unless they ask for more."""
DAY: Final = 86_400.0


def list_items(name: SetName, selection: Selection, most: int | None, *, json: bool) -> None:
    """Print the items that are meant, oldest first, and for people what they come to."""
    now = time.time()
    with _message_set(name) as (message_set, _, _):
        if json:
            for stored in islice(selection.on(message_set), most):
                as_json(summary(stored, now))
            return
        rows, kinds = list[StoredMessage](), Counter[Kind]()
        for stored in selection.on(message_set):
            kinds[stored.stage, stored.reason] += 1
            if len(rows) < (most or ROWS):
                rows.append(replace(stored, message=None, entry=()))
    if rows:
        tabulate(table(rows, now))
    _tell_counts(name, kinds, shown=len(rows))


def show(name: SetName, item: str, *, reveal: bool, json: bool) -> None:
    """Print everything about one item."""
    with _message_set(name) as (message_set, tombstones, _):
        found = message_set.get([item])
        stones = tombstones.get([item])
    if not found:
        dropped = [f"It was {stone.detail} at {rfc3339(stone.at)}." for stone in stones]
        raise NotFound(f"{item} is not among the {NOUNS[name]}.", *dropped)
    shown = details(found[0], time.time(), reveal=reveal)
    if json:
        as_json(shown)
        return
    for key, value in lines(shown):
        tell(plain(f"{key:<16}", "bold"), value)


def replay(name: SetName, selection: Selection, *, plan: bool, rate: float | None, note: str) -> int:
    """Put items back on their queues; returns the exit code."""
    with _message_set(name) as (message_set, _, settings):
        chosen = selection.up_to(message_set.newest())  # what fails again meanwhile is not replayed once more
        found = survey(message_set, chosen) if plan else size(message_set, chosen)
        _tell_missing(name, found)
        if plan:
            _tell_plan(name, found, settings.prefix, rate)
            return 3 if found.missing else 0
        context = _context(settings, name, note)
        with _replaying(settings, context) as action:
            return _carry_out(message_set, chosen, found, action, Pace(rate), "replayed")


def drop(name: SetName, selection: Selection, *, yes: bool) -> int:
    """Delete items, but for a tombstone; returns the exit code."""
    with _message_set(name) as (message_set, tombstones, settings):
        chosen = selection.up_to(message_set.newest())
        found = survey(message_set, chosen)
        _tell_missing(name, found)
        _tell_counts(name, found.kinds)
        if found.total and not (yes or typer.confirm("Drop them for good?", err=True)):
            return 1
        action = Drop(_context(settings, name, ""), tombstones)
        return _carry_out(message_set, chosen, found, action, Pace(None), "dropped")


@contextmanager
def _message_set(name: SetName) -> Iterator[tuple[MessageSet, MessageSet, Settings]]:
    """The message set, the tombstones beside it, and the settings."""
    settings = load_settings()
    with open_redis(settings.redis_url) as redis:
        yield MessageSet(redis, settings.prefix, name), MessageSet(redis, settings.prefix, "tombstones"), settings


def _context(settings: Settings, name: SetName, note: str) -> MoveContext:
    return MoveContext(settings.prefix, name, os_user(), time.time(), note, settings.retention_days * DAY)


@contextmanager
def _replaying(settings: Settings, context: MoveContext) -> Iterator[BatchAction]:
    """The way back to the queues, wherever they are."""
    if settings.broker_url == settings.redis_url:
        with open_connection(settings.broker_url) as connection:
            yield Replay(context, connection.channel())
        return
    publisher = open_publisher(settings.broker_url, TIMEOUT, prefix=settings.prefix, queues=INNER_QUEUES)
    try:
        yield CrossServerReplay(
            context, publisher, _adder(settings.broker_url) if engine_of(settings.broker_url) == "streams" else None
        )
    finally:
        publisher.close()


def _adder(url: str) -> Callable[[Sequence[Command]], None]:
    def add(commands: Sequence[Command]) -> None:
        with open_redis(url, "FACEID_BROKER_URL") as redis, redis.pipeline(transaction=False) as pipe:
            for command in commands:
                pipe.execute_command(*command)
            pipe.execute()

    return add


def _carry_out(
    message_set: MessageSet, chosen: Selection, found: Survey, action: BatchAction, pace: Pace, done: str
) -> int:
    """Move the items, showing how far it is; an interruption says what is left to do."""
    counts = MoveCounts()
    try:
        with progress() as shown:
            bar = shown.add_task(done, total=found.total)
            move(message_set, chosen.on(message_set), action, pace, counts, lambda count: shown.advance(bar, count))
    except KeyboardInterrupt:
        complain("Interrupted.", "Run the same command again for the rest.")
        return 1
    finally:
        _print_counts(counts, done)
    if counts.refused:
        return 1
    return 3 if found.missing else 0


def _tell_counts(name: SetName, kinds: Counter[Kind], shown: int | None = None) -> None:
    for line in counts(kinds):
        tell(line)
    total = kinds.total()
    tell(f"{total:>9,}  {NOUNS[name]} in all")
    if shown is not None and shown < total:
        out.print(f"The oldest {shown:,} are shown; --limit shows more, --json lists all.", style="dim")


def _tell_plan(name: SetName, found: Survey, prefix: str, rate: float | None) -> None:
    for (stage, reason), count in found.kinds.most_common():
        tell(f"{count:>9,}  {stage}: {reason}  ->  {queue_name(prefix, BY_STAGE[stage].reads)}")
    lasting = f", in about {span(found.total / rate)}" if rate and found.total else ""
    tell(f"{found.total:>9,}  {NOUNS[name]} would be replayed{lasting}; nothing was changed")


def _tell_missing(name: SetName, found: Survey) -> None:
    if found.missing:
        complain(f"{len(found.missing)} not among the {NOUNS[name]} that are meant:", *found.missing)


def _print_counts(counts: MoveCounts, done: str) -> None:
    tell(f"{counts.left:,} {done}")
    if counts.gone:
        tell(f"{counts.gone:,} were gone already: somebody else took them")
    for why, count in counts.refused.items():
        complain(f"{count:,} refused ({why}); they stay where they were.")
