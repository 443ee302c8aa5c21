"""`faceid status`: where everything is at this moment."""

from typing import Annotated

import typer

from console.terminal.options import Json


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(status)


def status(
    watch: Annotated[bool, typer.Option("--watch", help="Again every two seconds, until Ctrl-C.")] = False,
    json: Json = False,
) -> None:
    """Show every stage's queue, what is delayed, dead or unverified and why, the workers, and the results.

    Reasons on a long message set are estimated from a sample, and marked so.

    Example: [cyan]faceid status --watch[/]
    """
    from console.status import show as status_run  # noqa: PLC0415 - keeps `faceid --help` quick

    status_run.tell_status(watch=watch, json=json)
