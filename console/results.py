"""`faceid results`: look at what the pipeline has decided, without taking it away from anybody."""

from typing import Annotated, Literal

import typer

from console.options import InAccount

Outcome = Literal["APPROVED", "REJECTED", "REVIEW", "INCOMPLETE", "UNDETERMINED"]


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    group = typer.Typer(help="The results queue: look at decisions without consuming them.", no_args_is_help=True)
    group.command()(tail)
    app.add_typer(group, name="results")


def tail(
    *,
    from_start: Annotated[
        bool, typer.Option("--from-start", help="All that is in the queue, not the last ten.")
    ] = False,
    follow: Annotated[bool, typer.Option(help="Wait for more, until Ctrl-C.")] = True,
    alerts: Annotated[bool, typer.Option("--alerts", help="Alerts too.")] = False,
    account: InAccount = None,
    outcome: Annotated[Outcome | None, typer.Option(help="Decisions of this outcome.", show_default=False)] = None,
    json: Annotated[bool, typer.Option("--json", help="The events as they are; they hold personal data.")] = False,
) -> None:
    """Print decisions as they come: time, outcome, account, biz_id and reasons. The queue stays as it is.

    What a consumer has taken from the queue is no longer there to be seen; `faceid case` still knows it.

    Example: [cyan]faceid results tail --outcome REJECTED[/], or everything for another program:
    [cyan]faceid results tail --from-start --no-follow --json[/]
    """
    from console import results_run  # noqa: PLC0415 - keeps `faceid --help` quick

    wanted = results_run.Wanted(account, outcome, alerts=alerts)
    results_run.tail(wanted, from_start=from_start, follow=follow, json=json)
