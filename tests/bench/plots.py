"""Plots of the numbers, as PNG."""

from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
from matplotlib import pyplot

from tests.bench.numbers import Rows, median_of

OURS: Final = "#1b7f5c"
THEIRS: Final = "#9aa5b1"


def draw(everything: dict[str, Any], folder: Path) -> None:
    """All plots that there are numbers for."""
    mpl.use("Agg")
    for part in ("ingress", "queue", "whole"):
        if part in everything["parts"]:
            throughput(everything["parts"][part]["rows"], folder / f"performance-{part}.png")


def throughput(rows: Rows, file: Path) -> None:
    """A bar for each, the slowest below; a dot for each round."""
    ordered = sorted(rows, key=lambda name: median_of(rows, name, "rate"))
    figure, axes = pyplot.subplots(figsize=(9, 1 + 0.32 * len(ordered)), layout="constrained")
    bars = axes.barh(
        ordered,
        [median_of(rows, name, "rate") for name in ordered],
        color=[OURS if name.startswith("ours") else THEIRS for name in ordered],
    )
    axes.bar_label(bars, fmt="{:,.0f}", padding=4)
    for name in ordered:
        axes.plot([measured["rate"] for measured in rows[name]], [name] * len(rows[name]), "k.", markersize=3)
    axes.set_xlabel("a second, on one core; a dot for each round")
    axes.margins(x=0.12)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(file, dpi=110)
    pyplot.close(figure)
