"""`make bench`: measures this pipeline and the peers in turn. Writes numbers and plots of each part to a folder."""

import argparse
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table as Shown

from tests.bench import aims, cores, machine, plots
from tests.bench.numbers import OUT, Measure, Rows, Table, keep, load
from tests.bench.parts import PARTS
from tests.bench.report import QUIET
from tests.bench.sizes import FULL, QUICK


def main() -> None:
    """Measure the parts, write the numbers, print them."""
    wanted = arguments()
    console = Console(width=None if sys.stdout.isatty() else 140)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that what was started is stopped
    cores.leave_core_under_test()
    if not cores.CAN_PIN:
        console.print("[yellow]One core, or no taskset: nothing is pinned, and the numbers are less reliable.")
    sizes = QUICK if wanted.quick else FULL
    for name in wanted.parts:
        part = import_module(f"tests.bench.parts.{name}")
        if (busy := machine.busy()) > QUIET:
            console.print(f"[yellow]{name}: others use {busy:.0%} of the machine; the numbers will be unreliable.")
        rows = measured_in_turn(name, part.measures(sizes), wanted.rounds, console)
        about = {"quick": wanted.quick, "rounds": wanted.rounds, "busy_before": busy, "machine": machine.described()}
        keep(wanted.out, name, {**about, "rows": rows})
        console.print(shown(part.table(rows)))
    everything = load(wanted.out)
    plots.draw(everything, wanted.out)
    console.print(shown(aims.table(everything)))
    console.print(
        f"Numbers and plots are in {wanted.out}; `python -m tests.bench.report` puts them into docs/explanation/."
    )


def arguments() -> Any:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--parts", default=",".join(PARTS), type=_parts, help=f"of {', '.join(PARTS)}")
    parser.add_argument("--rounds", default=3, type=int)
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that it runs")
    parser.add_argument("--out", default=OUT, type=Path)
    return parser.parse_args()


def _parts(text: str) -> list[str]:
    names = text.split(",")
    if unknown := set(names) - set(PARTS):
        raise argparse.ArgumentTypeError(f"no part {', '.join(sorted(unknown))}")
    return names


def measured_in_turn(part: str, measures: Mapping[str, Measure], rounds: int, console: Console) -> Rows:
    """One round after another, so that changes of the machine affect all rows alike. A row that fails is left out."""
    rows: Rows = {name: [] for name in measures}
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=console, transient=True) as bar:
        task = bar.add_task(part, total=rounds * len(measures))
        for _ in range(rounds):
            for name, measure in measures.items():
                bar.update(task, description=f"{part}: {name}")
                try:
                    rows[name].append(_in_a_folder(measure))
                except Exception as error:  # the other rows are still measured
                    console.print(f"[red]{part}: {name}: {', '.join(_causes(error))} {' '.join(error.__notes__)}")
                bar.advance(task)
    return {name: measured for name, measured in rows.items() if measured}


def _causes(error: BaseException) -> Iterator[str]:
    if isinstance(error, BaseExceptionGroup):
        for each in error.exceptions:
            yield from _causes(each)
    else:
        yield f"{type(error).__name__}: {error}"


def _in_a_folder(measure: Measure) -> dict[str, float]:
    """Measure in a new folder. It is kept after an error, since it holds the logs."""
    folder = Path(tempfile.mkdtemp(prefix="bench-"))
    try:
        measured = measure(folder)
    except Exception as error:
        error.add_note(f"logs are in {folder}")
        raise
    shutil.rmtree(folder)
    return measured


def shown(table: Table) -> Shown:
    """The table for the terminal."""
    drawn = Shown(*table.headings, title=table.title, title_justify="left")
    drawn.columns[0].no_wrap = True
    for column in drawn.columns[1:]:
        column.justify = "right"
    for cells in table.lines:
        drawn.add_row(*cells)
    return drawn


if __name__ == "__main__":
    main()
