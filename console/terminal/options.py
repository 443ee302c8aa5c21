"""Options that several commands have."""

import time
from typing import Annotated, Literal

import typer

from console.terminal.time_format import parse_rate, parse_time
from shared.messaging.topology import Stage


def _time(text: str) -> float:
    try:
        return parse_time(text, time.time())
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def _rate(text: str) -> float:
    try:
        return parse_rate(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


Json = Annotated[bool, typer.Option("--json", help="Print JSON: one object a line.")]
Reveal = Annotated[bool, typer.Option("--reveal", help="Show personal data too.")]
InAccount = Annotated[str | None, typer.Option("--account", help="Only this account.", show_default=False)]
OfAccount = Annotated[str, typer.Option("--account", help="The account.")]
OfOutcome = Annotated[
    Literal["APPROVED", "REJECTED", "REVIEW", "INCOMPLETE", "UNDETERMINED"] | None,
    typer.Option("--outcome", help="Only this outcome.", show_default=False),
]
OfStage = Annotated[Stage | None, typer.Option("--stage", help="Only this stage.", show_default=False)]
ForReason = Annotated[str | None, typer.Option("--reason", help="Only this reason.", show_default=False)]
OfCase = Annotated[str | None, typer.Option("--biz-id", help="Only this case.", show_default=False)]
Since = Annotated[
    float | None,
    typer.Option("--since", parser=_time, metavar="TIME", help="From this time on: RFC 3339, or 2h or 1d12h ago."),
]
Until = Annotated[
    float | None,
    typer.Option("--until", parser=_time, metavar="TIME", help="Up to this time: RFC 3339, or 2h or 1d12h ago."),
]
Ids = Annotated[list[str] | None, typer.Argument(metavar="ID", help="Ids of items.", show_default=False)]
Everything = Annotated[bool, typer.Option("--all", help="All of them.")]
Plan = Annotated[bool, typer.Option("--plan", help="Show what would happen, and change nothing.")]
Rate = Annotated[
    float | None, typer.Option("--rate", parser=_rate, metavar="N/s", help="At most N a second, such as 50/s.")
]
Yes = Annotated[bool, typer.Option("--yes", help="Don't ask for confirmation.")]
