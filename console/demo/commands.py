"""`faceid demo`: run the whole pipeline on this machine, and count the decisions."""

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from console.demo import run
from console.demo.report import default_folder
from console.terminal.errors import UsageError

Sessions = Annotated[int, typer.Option(min=1, max=100_000, help="Number of verification sessions.")]
Keep = Annotated[bool, typer.Option("--keep", help="Leave everything running, and print commands to use it.")]
Stop = Annotated[bool, typer.Option("--stop", help="Stop what --keep left running.")]
Seed = Annotated[int, typer.Option(help="Shuffles the sessions. The same seed gives the same sessions.")]
Folder = Annotated[Path | None, typer.Option(help="Folder for logs and data.", show_default=False)]


def demo(
    sessions: Sessions = 300, keep: Keep = False, stop: Stop = False, seed: Seed = 1, folder: Folder = None
) -> None:
    """Run the whole pipeline on this machine with simulated sessions, and count the decisions.

    Starts Redis, the FaceID simulator, the ingress and two workers as processes. Plays sessions with late, repeated,
    lost and forged callbacks, then counts: every session must have exactly one right decision, else the exit code is
    1. FACEID_REDIS_URL, FACEID_BROKER_URL and FACEID_RESULTS_URL name servers to use instead of its own Redis.

    Example: [cyan]faceid demo --sessions 1000[/]
    """
    if folder and folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is not a folder.", "Name a folder for logs and data, or leave out --folder.")
    keep_folder = folder or default_folder()
    if stop:
        raise typer.Exit(run.stop(keep_folder))
    home = keep_folder if keep or folder else Path(tempfile.mkdtemp(prefix="faceid-demo-"))
    raise typer.Exit(run.run(home, sessions, seed, keep=keep))
