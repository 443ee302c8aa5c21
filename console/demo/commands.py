"""`faceid demo`: the whole pipeline on this machine, and a count of what became of every session."""

import os
import tempfile
from pathlib import Path
from typing import Annotated

import typer


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(demo)


def demo(
    sessions: Annotated[int, typer.Option(min=1, max=100_000, help="How many verification sessions to play.")] = 300,
    keep: Annotated[bool, typer.Option("--keep", help="Leave everything running, and say how to use it.")] = False,
    stop: Annotated[bool, typer.Option("--stop", help="Stop what an earlier --keep has left running.")] = False,
    seed: Annotated[int, typer.Option(help="Shuffles the sessions; the same seed plays the same day.")] = 1,
    folder: Annotated[Path | None, typer.Option(help="Where logs and data go.")] = None,
) -> None:
    """Run the whole pipeline here: Redis, the FaceID simulator, the ingress and two workers, each a real process.

    Plays a day of verification sessions with everything that goes wrong on such a day, then counts: every session
    must have exactly one decision. Exits 1 if that is not so. Redis is FACEID_REDIS_URL where that is set, else a
    server of its own; FACEID_BROKER_URL and FACEID_RESULTS_URL may name a RabbitMQ for the queues and the results.
    """
    from console.demo import run as demo_run  # noqa: PLC0415 - keeps `faceid --help` quick

    kept = folder or Path(tempfile.gettempdir()) / f"faceid-demo-{os.getuid()}"
    if stop:
        raise typer.Exit(demo_run.stop(kept))
    home = kept if keep or folder else Path(tempfile.mkdtemp(prefix="faceid-demo-"))
    raise typer.Exit(demo_run.run(home, sessions, seed, keep=keep))
