"""`faceid results`: look at what the pipeline has decided without taking it away from anybody, and send it again."""

from math import inf
from typing import Annotated, Literal

import typer

from console.terminal.errors import UsageError
from console.terminal.options import Everything, InAccount, Rate, Since, Until

Outcome = Literal["APPROVED", "REJECTED", "REVIEW", "INCOMPLETE", "UNDETERMINED"]


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    about = "The results queue: look at decisions without consuming them, or publish them once more."
    group = typer.Typer(help=about, no_args_is_help=True)
    group.command()(tail)
    group.command()(resend)
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

    What a consumer has taken from the queue is no longer there to be seen; `faceid case` still knows it. On RabbitMQ
    only what comes from now on is shown.

    Example: [cyan]faceid results tail --outcome REJECTED[/], or everything for another program:
    [cyan]faceid results tail --from-start --no-follow --json[/]
    """
    from console.results import tail as results_run  # noqa: PLC0415 - keeps `faceid --help` quick

    wanted = results_run.Wanted(account, outcome, alerts=alerts)
    results_run.tail(wanted, from_start=from_start, follow=follow, json=json)


def resend(  # noqa: PLR0913 - options of a command
    ids: Annotated[
        list[str] | None, typer.Argument(metavar="[ID]...", help="Ids of events.", show_default=False)
    ] = None,
    *,
    biz_id: Annotated[
        list[str] | None, typer.Option("--biz-id", help="Of this case; may be given again.", show_default=False)
    ] = None,
    account: InAccount = None,
    outcome: Annotated[Outcome | None, typer.Option(help="Decisions of this outcome.", show_default=False)] = None,
    since: Since = None,
    until: Until = None,
    everything: Everything = False,
    plan: Annotated[bool, typer.Option("--plan", help="Say how many there are, and publish nothing.")] = False,
    rate: Rate = None,
    json: Annotated[bool, typer.Option("--json", help="A summary for machines.")] = False,
) -> None:
    """Publish decisions that stand once more, as they were and under the same ids, in no order.

    For a consumer that has lost what it took. --since and --until mean when it was decided. Whoever drops the ids that
    he has seen notices nothing; what is not published yet is left to the workers. Exits with 3 when something asked for
    is not there.

    Example: [cyan]faceid results resend --since 2h --plan[/], then the same with
    [cyan]--rate 200/s[/] instead of --plan
    """
    from console.results import resend as resend_run  # noqa: PLC0415
    from console.results.decision_scan import Wanted  # noqa: PLC0415

    wanted = Wanted(
        ids=frozenset(ids or ()),
        biz_ids=tuple(biz_id or ()),
        account=account,
        outcome=outcome,
        since=-inf if since is None else since,
        until=inf if until is None else until,
    )
    if everything == wanted.is_narrow:
        raise UsageError("Say which: ids, filters such as --since, or --all, and not both of these.")
    raise typer.Exit(resend_run.resend(wanted, plan=plan, rate=rate, json=json))
