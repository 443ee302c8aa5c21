"""Items of a shelf as an operator reads them. Personal data stays hidden unless it is asked for."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from rich.table import Table

from console.dead_letters.selection import Kind
from console.terminal.output import plain
from console.terminal.time_format import rfc3339, span
from shared.messaging.stored_message import Parked

_HARMLESS: Final = frozenset(
    {"id", "account", "channel", "method", "received_at", "attempts", "biz_id", "x-delivery-count"}
)
"""Headers that hold no personal data, by whoever the message was written."""


def summary(parked: Parked, now: float) -> dict[str, Any]:
    """One item in a listing; `now` in unix seconds."""
    return {
        "id": parked.id,
        "stage": parked.stage,
        "reason": parked.reason,
        "detail": parked.detail,
        "account": parked.account,
        "biz_id": parked.biz_id,
        "at": rfc3339(parked.at),
        "age_seconds": round(now - parked.at, 3),
        "attempts": parked.attempts,
    }


def table(rows: Iterable[Parked], now: float) -> Table:
    """The listing for people."""
    listing = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("id", "stage", "reason", "detail", "account", "biz_id"):
        listing.add_column(name, overflow="fold", no_wrap=name == "id")
    listing.add_column("age", justify="right", no_wrap=True)
    listing.add_column("attempts", justify="right")
    for parked in rows:
        texts = (parked.id, parked.stage, parked.reason, parked.detail, parked.account, parked.biz_id)
        listing.add_row(*map(plain, texts), span(now - parked.at), str(parked.attempts))
    return listing


def counts(kinds: Counter[Kind]) -> Iterator[str]:
    """How many there are of each stage and reason, the most first."""
    for (stage, reason), count in kinds.most_common():
        yield f"{count:>9,}  {stage}: {reason}"


def details(parked: Parked, now: float, *, reveal: bool) -> dict[str, Any]:
    """Everything about one item; with `reveal` the message itself too."""
    shown = summary(parked, now)
    if parked.post is not None:
        headers = {name: _shown(name, value, reveal) for name, value in parked.post.headers.items()}
        shown |= {"queue": parked.post.queue, "content_type": parked.post.content_type, "headers": headers}
        shown["body"] = _bytes(parked.post.body, reveal)
    if parked.entry:
        shown["entry"] = {_text(name): _bytes(value, reveal) for name, value in parked.entry}
    return shown


def lines(shown: Mapping[str, Any], indent: str = "") -> Iterator[tuple[str, str]]:
    """Names and values in turn, what is inside another indented under it."""
    for name, value in shown.items():
        if isinstance(value, Mapping):
            yield f"{indent}{name}", ""
            yield from lines(value, indent + "  ")
        else:
            yield f"{indent}{name}", str(value)


def _shown(name: str, value: str | int | float, reveal: bool) -> str | int | float:
    if reveal or name in _HARMLESS or value == "":
        return value
    return f"[hidden, {len(str(value))} characters]"


def _bytes(value: bytes, reveal: bool) -> str:
    return _text(value) if reveal else f"[hidden, {len(value)} bytes]"


def _text(value: bytes) -> str:
    return value.decode(errors="backslashreplace")
