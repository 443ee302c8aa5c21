"""Injects faults into a running pipeline and checks that every promise is kept: python -m tests.chaos.run --help."""

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
from tests.chaos.report import print_report
from tests.chaos.run_round import RoundProgress, RoundResult, run_round

console = Console()


def main(
    sessions: Annotated[int, typer.Option(min=1, help="How many sessions.")] = 300,
    seed: Annotated[int, typer.Option(help="Decides the sessions and the faults: same seed, same plan.")] = 1,
    faults: Annotated[str, typer.Option(help=f"all (mixed), each (alone), or some of: {', '.join(FAULTS)}")] = "all",
    workers: Annotated[int, typer.Option(min=1, help="Worker processes.")] = 4,
    broker: Annotated[Engine, typer.Option(help="What carries the queues.")] = "redis",
    crash_all: Annotated[bool, typer.Option("--crash-all", help="Only kill -9 of everything at once.")] = False,
) -> None:
    """Run sessions through real processes, inject faults, and check that nothing is lost, doubled or decided wrongly.

    Exits with 1 when a promise was broken, and then keeps the logs.
    """
    try:
        plan = rounds("crash-all" if crash_all else faults, sessions, seed, workers, broker)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that what was started is stopped
    home = Path(tempfile.mkdtemp(prefix="faceid-chaos-"))
    console.print(f"seed {seed}; logs in {home}")
    results = [_run(one, home / f"{number}", seed, workers) for number, one in enumerate(plan, 1)]
    print_report(console, results)
    if any(one.violations for one in results):
        console.print(f"[bold red]Promises were broken.[/] Seed {seed}; logs, data and history.json are in {home}")
        raise typer.Exit(1)
    shutil.rmtree(home)


def _run(plan: Round, folder: Path, seed: int, workers: int) -> RoundResult:
    counts = f"{plan.sessions} sessions, {len(plan.injections)} faults"
    console.print(f"\n[bold]{plan.name}[/] on {plan.engine}: {counts}")
    columns = (TextColumn("{task.description:<10}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, TextColumn("{task.fields[faults]}"), console=console) as progress:
        sessions = progress.add_task("sessions", total=plan.sessions, faults="")
        decisions = progress.add_task("decisions", total=plan.sessions, faults="")

        def show(current: RoundProgress) -> None:
            faults = ", ".join(f"{injection.fault} ({injection.target})" for injection in current.under_way)
            progress.update(sessions, completed=current.sessions, faults=faults)
            progress.update(decisions, completed=current.decided)

        result = asyncio.run(run_round(plan, folder, seed, workers, show))
    (folder / "history.json").write_text(json.dumps(asdict(result), default=sorted, indent=1))
    return result


if __name__ == "__main__":
    typer.run(main)
