"""Items of a message set, rendered for people and for JSON. Personal data is hidden by default."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from rich.table import Table

from console.dead_letters.selection import Kind, SelectionCounts, noun
from console.terminal.output import plain, plural, print_error, print_line
from console.terminal.time_format import format_duration, rfc3339
from shared.ledger.message_set import SetName
from shared.messaging.stored_message import StoredMessage
from shared.messaging.topology import BY_STAGE, queue_name

_HARMLESS: Final = frozenset(
    {"id", "account", "channel", "method", "received_at", "attempts", "biz_id", "x-delivery-count"}
)
"""Headers that hold no personal data, no matter who wrote the message."""


def summary(stored: StoredMessage, now: float) -> dict[str, Any]:
    """One item of a listing. `now`: unix seconds."""
    return {
        "id": stored.id,
        "stage": stored.stage,
        "reason": stored.reason,
        "detail": stored.detail,
        "account": stored.account,
        "biz_id": stored.biz_id,
        "at": rfc3339(stored.at),
        "age_seconds": round(now - stored.at, 3),
        "attempts": stored.attempts,
    }


def as_table(rows: Iterable[StoredMessage], now: float) -> Table:
    """Items as a table for people."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("id", "stage", "reason", "detail", "account", "biz_id"):
        table.add_column(name, overflow="fold", no_wrap=name == "id")
    table.add_column("age", justify="right", no_wrap=True)
    table.add_column("attempts", justify="right")
    for stored in rows:
        texts = (stored.id, stored.stage, stored.reason, stored.detail, stored.account, stored.biz_id)
        table.add_row(*map(plain, texts), format_duration(now - stored.at), str(stored.attempts))
    return table


def print_counts(name: SetName, kinds: Counter[Kind]) -> None:
    """Print how many items there are of each stage and reason, the most frequent first, and in all."""
    for (stage, reason), count in kinds.most_common():
        print_line(f"{count:>9,}  {stage}: {reason}")
    total = kinds.total()
    print_line(f"{total:>9,}  {noun(name, total)} in all")


def print_plan(name: SetName, found: SelectionCounts, prefix: str, rate: float | None) -> None:
    """Print what a replay would move where, and how long it would take."""
    for (stage, reason), count in found.kinds.most_common():
        print_line(f"{count:>9,}  {stage}: {reason}  ->  {queue_name(prefix, BY_STAGE[stage].reads)}")
    duration = f", in about {format_duration(found.total / rate)}" if rate and found.total else ""
    print_line(f"{found.total:>9,}  {noun(name, found.total)} would be replayed{duration}; nothing was changed")


def print_missing(name: SetName, missing: list[str]) -> None:
    """Print an error that lists the ids that were not found."""
    print_error(f"{len(missing):,} not found among the selected {noun(name)}:", *missing)


def details(stored: StoredMessage, now: float, *, reveal: bool) -> dict[str, Any]:
    """Everything about one item. With `reveal`, the message itself too."""
    shown = summary(stored, now)
    if stored.message is not None:
        headers = {name: _shown(name, value, reveal) for name, value in stored.message.headers.items()}
        shown |= {"queue": stored.message.queue, "content_type": stored.message.content_type, "headers": headers}
        shown["body"] = _bytes(stored.message.body, reveal, stored.body_bytes)
    if stored.body_bytes:
        shown |= {"body_bytes": stored.body_bytes, "body_sha256": stored.body_sha256}
    if stored.entry:
        shown["entry"] = {_text(name): _bytes(value, reveal) for name, value in stored.entry}
    return shown


def name_and_value_lines(shown: Mapping[str, Any], indent: str = "") -> Iterator[tuple[str, str]]:
    """Names with their values. The content of a mapping follows its name, indented."""
    for name, value in shown.items():
        if isinstance(value, Mapping):
            yield f"{indent}{name}", ""
            yield from name_and_value_lines(value, indent + "  ")
        else:
            yield f"{indent}{name}", str(value)


def _shown(name: str, value: str | int | float, reveal: bool) -> str | int | float:
    if reveal or name in _HARMLESS or value == "":
        return value
    return f"[hidden, {plural(len(str(value)), 'character')}]"


def _bytes(value: bytes, reveal: bool, whole: int = 0) -> str:
    """`whole`: the length of the whole value, if this is its first part."""
    if reveal:
        return _text(value)
    return (
        f"[hidden, the first {len(value):,} of {plural(whole, 'byte')}]"
        if whole
        else f"[hidden, {plural(len(value), 'byte')}]"
    )


def _text(value: bytes) -> str:
    return value.decode(errors="backslashreplace")
