"""How the command line speaks: results on stdout, everything else on stderr."""

import json
from typing import TYPE_CHECKING, Any, Final

from rich.console import Console
from rich.text import Text

if TYPE_CHECKING:
    from rich.table import Table

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

_WIDE: Final = 240
"""Columns of a table that goes into a file or a pipe, where nothing has to be broken up."""


def complain(headline: str, *lines: str) -> None:
    """An error: what is wrong, and what to do."""
    err.print(plain(headline, "bold red"), soft_wrap=True)
    for line in lines:
        err.print(plain(f"  {line}"), soft_wrap=True)


def as_json(value: Any) -> None:
    """One line of JSON on stdout, for machines."""
    print(json.dumps(value, ensure_ascii=False, separators=(",", ":")), flush=True)


def tell(*parts: "str | Text") -> None:
    """A line on stdout, never broken, so that it can be searched and copied."""
    out.print(Text.assemble(*(plain(part) if isinstance(part, str) else part for part in parts)), soft_wrap=True)


def tabulate(table: "Table") -> None:
    """A table on stdout."""
    (out if out.is_terminal else Console(highlight=False, width=_WIDE)).print(table)


def plain(text: str, style: str = "") -> Text:
    """Text for a terminal as it is: no markup, and what would steer the terminal is spelt out."""
    shown = (one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)
    return Text("".join(shown), style)
