"""`faceid case`: the whole life of one verification."""

from typing import Annotated

import typer

from console.options import InAccount, Reveal


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(case)


def case(
    name: Annotated[str, typer.Argument(metavar="BIZ_ID", help="FaceID's biz_id, or your own biz_no.")],
    account: InAccount = None,
    json: Annotated[bool, typer.Option("--json", help="JSON for machines.")] = False,
    reveal: Reveal = False,
) -> None:
    """Tell the whole life of a case: arrivals, GetResult, decision and its reasons, dead letters, replays.

    Exits with 3 when the ledger does not know it. What GetResult answered is never shown.

    Example: [cyan]faceid case 1462259748,7ab2dd0e-7d1e-4a2b-9f0c-2f6d2f8d7c11[/]
    """
    from console import case_run  # noqa: PLC0415 - keeps `faceid --help` quick

    case_run.tell_case(name, account, json=json, reveal=reveal)
