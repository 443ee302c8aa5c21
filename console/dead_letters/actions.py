"""What `faceid dead` and `faceid unverified` do."""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice
from typing import Final

import typer

from console.dead_letters.batch_move import Departure, Pace, Tally, move
from console.dead_letters.rendering import counts, details, lines, summary, table
from console.dead_letters.replay import Drop, Hand, Replay, ReplayElsewhere, os_user
from console.dead_letters.selection import Kind, Selection, Survey, size, survey
from console.terminal.errors import NotFound
from console.terminal.output import as_json, complain, out, plain, tabulate, tell
from console.terminal.progress import progress
from console.terminal.redis_connection import TIMEOUT, open_redis
from console.terminal.time_format import rfc3339, span
from shared.brokers.factory import open_connection, open_publisher
from shared.ledger.message_set import Command, Name, Shelf
from shared.messaging.engine import engine_of
from shared.messaging.stored_message import Parked
from shared.messaging.topology import BY_STAGE, INNER_QUEUES, queue_name
from shared.settings import Settings, load_settings

NOUNS: Final[dict[Name, str]] = {"dead": "dead letters", "unverified": "unverified callbacks"}
ROWS: Final = 100
"""Rows of a listing for people, unless they ask for more."""
DAY: Final = 86_400.0


def list_items(name: Name, selection: Selection, most: int | None, *, json: bool) -> None:
    """Print the items that are meant, oldest first, and for people what they come to."""
    now = time.time()
    with _shelf(name) as (shelf, _, _):
        if json:
            for parked in islice(selection.on(shelf), most):
                as_json(summary(parked, now))
            return
        rows, kinds = list[Parked](), Counter[Kind]()
        for parked in selection.on(shelf):
            kinds[parked.stage, parked.reason] += 1
            if len(rows) < (most or ROWS):
                rows.append(replace(parked, post=None, entry=()))
    if rows:
        tabulate(table(rows, now))
    _tell_counts(name, kinds, shown=len(rows))


def show(name: Name, item: str, *, reveal: bool, json: bool) -> None:
    """Print everything about one item."""
    with _shelf(name) as (shelf, tombstones, _):
        found = shelf.get([item])
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


def replay(name: Name, selection: Selection, *, plan: bool, rate: float | None, note: str) -> int:
    """Put items back on their queues; returns the exit code."""
    with _shelf(name) as (shelf, _, settings):
        chosen = selection.up_to(shelf.newest())  # what fails again meanwhile is not replayed once more
        found = survey(shelf, chosen) if plan else size(shelf, chosen)
        _tell_missing(name, found)
        if plan:
            _tell_plan(name, found, settings.prefix, rate)
            return 3 if found.missing else 0
        hand = _hand(settings, name, note)
        with _replaying(settings, hand) as departure:
            return _carry_out(shelf, chosen, found, departure, Pace(rate), "replayed")


def drop(name: Name, selection: Selection, *, yes: bool) -> int:
    """Delete items, but for a tombstone; returns the exit code."""
    with _shelf(name) as (shelf, tombstones, settings):
        chosen = selection.up_to(shelf.newest())
        found = survey(shelf, chosen)
        _tell_missing(name, found)
        _tell_counts(name, found.kinds)
        if found.total and not (yes or typer.confirm("Drop them for good?", err=True)):
            return 1
        departure = Drop(_hand(settings, name, ""), tombstones)
        return _carry_out(shelf, chosen, found, departure, Pace(None), "dropped")


@contextmanager
def _shelf(name: Name) -> Iterator[tuple[Shelf, Shelf, Settings]]:
    """The shelf, the tombstones beside it, and the settings."""
    settings = load_settings()
    with open_redis(settings.redis_url) as redis:
        yield Shelf(redis, settings.prefix, name), Shelf(redis, settings.prefix, "tombstones"), settings


def _hand(settings: Settings, name: Name, note: str) -> Hand:
    return Hand(settings.prefix, name, os_user(), time.time(), note, settings.retention_days * DAY)


@contextmanager
def _replaying(settings: Settings, hand: Hand) -> Iterator[Departure]:
    """The way back to the queues, wherever they are."""
    if settings.broker_url == settings.redis_url:
        with open_connection(settings.broker_url) as connection:
            yield Replay(hand, connection.channel())
        return
    publisher = open_publisher(settings.broker_url, TIMEOUT, prefix=settings.prefix, queues=INNER_QUEUES)
    try:
        yield ReplayElsewhere(
            hand, publisher, _adder(settings.broker_url) if engine_of(settings.broker_url) == "streams" else None
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


def _carry_out(shelf: Shelf, chosen: Selection, found: Survey, departure: Departure, pace: Pace, done: str) -> int:
    """Move the items, showing how far it is; an interruption says what is left to do."""
    tally = Tally()
    try:
        with progress() as shown:
            bar = shown.add_task(done, total=found.total)
            move(shelf, chosen.on(shelf), departure, pace, tally, lambda count: shown.advance(bar, count))
    except KeyboardInterrupt:
        complain("Interrupted.", "Run the same command again for the rest.")
        return 1
    finally:
        _tell_tally(tally, done)
    if tally.refused:
        return 1
    return 3 if found.missing else 0


def _tell_counts(name: Name, kinds: Counter[Kind], shown: int | None = None) -> None:
    for line in counts(kinds):
        tell(line)
    total = kinds.total()
    tell(f"{total:>9,}  {NOUNS[name]} in all")
    if shown is not None and shown < total:
        out.print(f"The oldest {shown:,} are shown; --limit shows more, --json lists all.", style="dim")


def _tell_plan(name: Name, found: Survey, prefix: str, rate: float | None) -> None:
    for (stage, reason), count in found.kinds.most_common():
        tell(f"{count:>9,}  {stage}: {reason}  ->  {queue_name(prefix, BY_STAGE[stage].reads)}")
    lasting = f", in about {span(found.total / rate)}" if rate and found.total else ""
    tell(f"{found.total:>9,}  {NOUNS[name]} would be replayed{lasting}; nothing was changed")


def _tell_missing(name: Name, found: Survey) -> None:
    if found.missing:
        complain(f"{len(found.missing)} not among the {NOUNS[name]} that are meant:", *found.missing)


def _tell_tally(tally: Tally, done: str) -> None:
    tell(f"{tally.left:,} {done}")
    if tally.gone:
        tell(f"{tally.gone:,} were gone already: somebody else took them")
    for why, count in tally.refused.items():
        complain(f"{count:,} refused ({why}); they stay where they were.")
