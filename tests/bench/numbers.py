"""The raw numbers of a run. They are stored as JSON, part by part, and shown as tables."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import nan
from pathlib import Path
from statistics import median
from typing import Any, Final

from tests.bench.measuring import Measured

Measure = Callable[[Path], Measured]
"""One measurement in a folder of its own."""
Rows = dict[str, list[Measured]]
"""The measurements by the name of their row, one for each round."""
Line = tuple[str, ...]

FILE: Final = "performance.json"
OUT: Final = Path("var/bench")
"""The default folder for the numbers of a run."""


@dataclass(frozen=True)
class Table:
    """Rows of text under headings; the first column names, the others are figures."""

    title: str
    headings: Line
    lines: Sequence[Line]

    def markdown(self) -> str:
        """The table in Markdown."""
        rule = ("---", *("---:" for _ in self.headings[1:]))
        return "\n".join(f"| {' | '.join(cells)} |" for cells in (self.headings, rule, *self.lines)) + "\n"


def median_of(rows: Rows, name: str, figure: str) -> float:
    """The median of a figure over the rounds. NaN: every round failed."""
    return median([measured[figure] for measured in rows.get(name, ())] or [nan])


def load(folder: Path) -> dict[str, Any]:
    """The numbers of earlier runs."""
    file = folder / FILE
    everything: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {"parts": {}}
    return everything


def keep(folder: Path, part: str, numbers: dict[str, Any]) -> None:
    """Store the numbers of one part. Those of other parts are kept."""
    everything = load(folder)
    everything["parts"][part] = numbers
    folder.mkdir(parents=True, exist_ok=True)
    (folder / FILE).write_text(json.dumps(everything, indent=1) + "\n")
