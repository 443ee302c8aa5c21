"""How the command line speaks: results on stdout, everything else on stderr."""

import json
from typing import Any

from rich.console import Console

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)


def complain(headline: str, *lines: str) -> None:
    """An error: what is wrong, and what to do."""
    err.print(f"[bold red]{headline}[/]")
    for line in lines:
        err.print(f"  {line}", markup=False)


def as_json(value: Any) -> None:
    """One line of JSON on stdout, for machines."""
    print(json.dumps(value, ensure_ascii=False, separators=(",", ":")), flush=True)
