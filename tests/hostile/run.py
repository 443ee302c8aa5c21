"""Attack a pipeline without a secret while genuine sessions come in: python -m tests.hostile.run --help."""

import asyncio
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from tests.hostile.hostile_run import Outcome, Size, play
from tests.hostile.observer import MIB

console = Console()


def main(
    scale: Annotated[float, typer.Option(min=0.001, help="Share of 10,000 posts, 10,000 returns, 1,000 silent.")] = 1.0,
    seconds: Annotated[float, typer.Option(min=1, help="How long genuine sessions come in.")] = 120.0,
    rate: Annotated[float, typer.Option(min=0.1, help="Genuine sessions a second.")] = 50.0,
    redis_mib: Annotated[int, typer.Option(min=10, help="maxmemory of Redis, in MiB.")] = 100,
) -> None:
    """Exits with 1 when a promise was broken, and then keeps the logs."""
    posts, silent = max(1, int(10_000 * scale)), max(1, int(1_000 * scale))
    size = Size(posts, posts, silent, rate, seconds, redis_mib)
    folder = Path(tempfile.mkdtemp(prefix="faceid-hostile-"))
    console.print(f"{size}; logs in {folder}")
    outcome = asyncio.run(play(size, folder))
    print_outcome(outcome)
    if not all(promise.kept for promise in outcome.promises()):
        raise typer.Exit(1)
    shutil.rmtree(folder)


def print_outcome(outcome: Outcome) -> None:
    """Print the promises, and what else was seen."""
    promises = Table("promise", "promised", "found", "")
    for promise in outcome.promises():
        promises.add_row(promise.name, promise.promised, promise.found, "kept" if promise.kept else "[red]BROKEN[/]")
    console.print(promises)
    seen = Table("seen", "")
    seen.add_row("answers to genuine callbacks", str(dict(outcome.genuine.answers)))
    seen.add_row("seconds to the answer, p50 / p99 / longest", _percentiles(outcome.genuine.seconds))
    seen.add_row("answers to attackers", str(outcome.attack.get("answers")))
    seen.add_row("seconds that their requests took", f"{outcome.attack.get('seconds', 0):.0f}")
    silent = f"{outcome.attack.get('most_silent')} at once, {outcome.attack.get('silent_closed')} closed by the ingress"
    seen.add_row("silent connections", silent)
    seen.add_row("most memory of Redis", f"{outcome.redis_memory / MIB:.0f} of {outcome.size.redis_mib} MiB")
    seen.add_row("most open files of the ingress", str(outcome.open_files))
    console.print(seen)


def _percentiles(seconds: Sequence[float]) -> str:
    ordered = sorted(seconds) or [0.0]
    return " / ".join(f"{ordered[int(share * (len(ordered) - 1))]:.3f}" for share in (0.5, 0.99, 1.0))


if __name__ == "__main__":
    typer.run(main)
