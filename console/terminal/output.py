"""Printing: results on stdout, errors and progress on stderr."""

import json
from typing import Any, Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)

COLOURS: Final = {
    "APPROVED": "green",
    "REJECTED": "red",
    "REVIEW": "yellow",
    "INCOMPLETE": "cyan",
    "UNDETERMINED": "magenta",
}
"""By outcome."""

_FILE_WIDTH: Final = 240
"""Columns of a table that goes to a file or a pipe."""


def print_error(headline: str, *lines: str) -> None:
    """Print an error to stderr: what is wrong, and what to do."""
    err.print(plain(headline, "bold red"), soft_wrap=True)
    for line in lines:
        err.print(plain(f"  {line}"), soft_wrap=True)


def print_json(value: Any) -> None:
    """Print one line of JSON to stdout. A lone surrogate, which UTF-8 can't encode, is written as an escape."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    print(text.encode(errors="backslashreplace").decode(), flush=True)


def print_line(*parts: str | Text) -> None:
    """Print one line to stdout. It is never wrapped, so that it can be searched and copied."""
    out.print(Text.assemble(*(plain(part) if isinstance(part, str) else part for part in parts)), soft_wrap=True)


def print_table(table: Table) -> None:
    """Print a table to stdout."""
    (out if out.is_terminal else Console(highlight=False, width=_FILE_WIDTH)).print(table)


def plain(text: str, style: str = "") -> Text:
    """Text that is printed as it is: no markup, and control characters are escaped."""
    escaped = (one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)
    return Text("".join(escaped), style)


def plural(count: int, noun: str, nouns: str = "") -> str:
    """A number with its noun, such as `1 item` and `1,200 items`. `nouns`: the plural unless it is noun + s."""
    return f"{count:,} {noun if count == 1 else nouns or noun + 's'}"


def progress() -> Progress:
    """A progress bar on stderr that disappears at the end; nothing when stderr is not a terminal."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=err, disable=not err.is_terminal, transient=True)
