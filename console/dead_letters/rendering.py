"""Items of a message set as an operator reads them. Personal data stays hidden unless it is asked for."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from rich.table import Table

from console.dead_letters.selection import Kind
from console.terminal.output import plain
from console.terminal.time_format import rfc3339, span
from shared.messaging.stored_message import StoredMessage

_HARMLESS: Final = frozenset(
    {"id", "account", "channel", "method", "received_at", "attempts", "biz_id", "x-delivery-count"}
)
"""Headers that hold no personal data, by whoever the message was written."""


def summary(stored: StoredMessage, now: float) -> dict[str, Any]:
    """One item in a listing; `now` in unix seconds."""
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


def table(rows: Iterable[StoredMessage], now: float) -> Table:
    """The listing for people."""
    listing = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("id", "stage", "reason", "detail", "account", "biz_id"):
        listing.add_column(name, overflow="fold", no_wrap=name == "id")
    listing.add_column("age", justify="right", no_wrap=True)
    listing.add_column("attempts", justify="right")
    for stored in rows:
        texts = (stored.id, stored.stage, stored.reason, stored.detail, stored.account, stored.biz_id)
        listing.add_row(*map(plain, texts), span(now - stored.at), str(stored.attempts))
    return listing


def counts(kinds: Counter[Kind]) -> Iterator[str]:
    """How many there are of each stage and reason, the most first."""
    for (stage, reason), count in kinds.most_common():
        yield f"{count:>9,}  {stage}: {reason}"


def details(stored: StoredMessage, now: float, *, reveal: bool) -> dict[str, Any]:
    """Everything about one item; with `reveal` the message itself too."""
    shown = summary(stored, now)
    if stored.message is not None:
        headers = {name: _shown(name, value, reveal) for name, value in stored.message.headers.items()}
        shown |= {"queue": stored.message.queue, "content_type": stored.message.content_type, "headers": headers}
        shown["body"] = _bytes(stored.message.body, reveal)
    if stored.entry:
        shown["entry"] = {_text(name): _bytes(value, reveal) for name, value in stored.entry}
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
