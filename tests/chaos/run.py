"""Breaks a running pipeline in every way there is, and counts: python -m tests.chaos.run --help."""

import asyncio
import json
import shutil
import signal
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from tests.chaos.plan import FAULTS, Engine, Round, rounds
from tests.chaos.play import Played, Standing, play
from tests.chaos.tell import tell

console = Console()


def main(
    sessions: Annotated[int, typer.Option(min=1, help="How many guests come.")] = 300,
    seed: Annotated[int, typer.Option(help="What comes when: the same seed, the same plan.")] = 1,
    faults: Annotated[str, typer.Option(help=f"all (mixed), each (alone), or some of: {', '.join(FAULTS)}")] = "all",
    workers: Annotated[int, typer.Option(min=1, help="Worker processes.")] = 4,
    broker: Annotated[Engine, typer.Option(help="What carries the queues.")] = "redis",
    crash_all: Annotated[bool, typer.Option("--crash-all", help="Nothing but kill -9 of everything at once.")] = False,
) -> None:
    """Load real processes with sessions, strike them by plan, and prove that nothing was lost and nothing doubled.

    Exits 1 when a promise was broken, and leaves the logs then.
    """
    try:
        plan = rounds("crash-all" if crash_all else faults, sessions, seed, workers, broker)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that what was started is stopped
    home = Path(tempfile.mkdtemp(prefix="faceid-chaos-"))
    console.print(f"seed {seed}; logs in {home}")
    played = [_play(one, home / f"{number}", seed, workers) for number, one in enumerate(plan, 1)]
    tell(console, played)
    if any(one.violations for one in played):
        console.print(f"[bold red]Promises were broken.[/] Seed {seed}; logs, data and history.json are in {home}")
        raise typer.Exit(1)
    shutil.rmtree(home)


def _play(plan: Round, folder: Path, seed: int, workers: int) -> Played:
    console.print(f"\n[bold]{plan.name}[/] on {plan.engine}: {plan.sessions} guests, {len(plan.strikes)} strikes")
    columns = (TextColumn("{task.description:<10}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, TextColumn("{task.fields[striking]}"), console=console) as progress:
        gone = progress.add_task("guests", total=plan.sessions, striking="")
        decided = progress.add_task("decisions", total=plan.sessions, striking="")

        def show(current: Standing) -> None:
            striking = ", ".join(f"{strike.fault} ({strike.target})" for strike in current.under_way)
            progress.update(gone, completed=current.gone, striking=striking)
            progress.update(decided, completed=current.decided)

        played = asyncio.run(play(plan, folder, seed, workers, show))
    (folder / "history.json").write_text(json.dumps(asdict(played), default=sorted, indent=1))
    return played


if __name__ == "__main__":
    typer.run(main)
