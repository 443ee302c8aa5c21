"""How things are measured here: the CPU time of the process under test, for each piece of work.

Seconds on a shared machine say little; CPU time is what a core can be divided by. Compare only within one run.
"""

import os
from pathlib import Path
from statistics import median

from rich.progress import Progress
from rich.table import Table

TICK = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid: int) -> float:
    """CPU time that a process has used, all its threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def table(title: str, costs: dict[str, list[float]], unit: str) -> Table:
    """Medians of microseconds for each piece of work, and how many times the first one's."""
    shown = Table("", f"CPU us a {unit}", "a core could do", "x the first", title=title, title_justify="left")
    for column in shown.columns[1:]:
        column.justify = "right"
    first = median(next(iter(costs.values())))
    for name, rounds in costs.items():
        cost = median(rounds)
        shown.add_row(name, f"{cost:,.0f}", f"{1e6 / cost:,.0f}/s", f"{cost / first:.2f}")
    return shown


def progress() -> Progress:
    """A bar on stderr."""
    return Progress(transient=True)
