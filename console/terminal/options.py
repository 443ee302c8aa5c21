"""Options that several commands have."""

import time
from typing import Annotated

import typer

from console.terminal import time_format as times
from shared.messaging.topology import Stage


def _moment(text: str) -> float:
    try:
        return times.moment(text, time.time())
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def _rate(text: str) -> float:
    try:
        return times.per_second(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


Json = Annotated[bool, typer.Option("--json", help="JSON for machines: one object a line.")]
Reveal = Annotated[bool, typer.Option("--reveal", help="Show personal data too.")]
InAccount = Annotated[str | None, typer.Option("--account", help="Of this account alone.", show_default=False)]
OfStage = Annotated[Stage | None, typer.Option("--stage", help="Of this stage.", show_default=False)]
ForReason = Annotated[str | None, typer.Option("--reason", help="For this reason.", show_default=False)]
OfCase = Annotated[str | None, typer.Option("--biz-id", help="Of this case.", show_default=False)]
Since = Annotated[
    float | None,
    typer.Option("--since", parser=_moment, metavar="TIME", help="From this time (RFC 3339), or from 2h or 1d12h ago."),
]
Until = Annotated[
    float | None, typer.Option("--until", parser=_moment, metavar="TIME", help="Up to this time, written alike.")
]
Ids = Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="Ids of single items.", show_default=False)]
Everything = Annotated[bool, typer.Option("--all", help="All of them.")]
Rate = Annotated[
    float | None, typer.Option("--rate", parser=_rate, metavar="N/s", help="At most so many a second, such as 50/s.")
]
