"""Plots of the numbers, as PNG."""

from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
from matplotlib import pyplot

from tests.bench.numbers import Rows, median_of
from tests.bench.report import PLOTTED

OURS: Final = "#1b7f5c"
THEIRS: Final = "#9aa5b1"


def draw(everything: dict[str, Any], folder: Path) -> None:
    """Draw the plot of each part that was measured."""
    mpl.use("Agg")
    parts = everything["parts"]
    for name in set(PLOTTED) & set(parts):
        draw_one = distribution if name == "latency" else throughput
        draw_one(parts[name]["rows"], folder / f"performance-{name}.png")


def throughput(rows: Rows, file: Path) -> None:
    """Draw a bar for each row, the slowest at the bottom, and a dot for each round."""
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


def distribution(rows: Rows, file: Path) -> None:
    """Draw the share of callbacks that were decided within a time, with a line for each round."""
    figure, axes = pyplot.subplots(figsize=(9, 4), layout="constrained")
    for number, (name, rounds) in enumerate(rows.items()):
        for turn, measured in enumerate(rounds):
            times = [measured[f"p{percent}"] for percent in range(101)]
            axes.plot(times, range(101), color=f"C{number}", alpha=0.8, label=name if turn == 0 else None)
    axes.set_xscale("log")
    axes.set_xlabel("milliseconds from notify to decision, without GetResult's own time")
    axes.set_ylabel("percent decided")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(file, dpi=110)
    pyplot.close(figure)
