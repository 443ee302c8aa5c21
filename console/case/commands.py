"""`faceid case`: the whole life of one verification, and deciding it again."""

from typing import TYPE_CHECKING, Annotated

import typer
from typer.core import TyperGroup

from console.terminal.options import InAccount, Reveal

if TYPE_CHECKING:
    from typer import Context

SHOW = "show"
Named = Annotated[
    str, typer.Argument(metavar="BIZ_ID", help="FaceID's biz_id, or your own biz_no.", show_default=False)
]


class _ShowsByDefault(TyperGroup):
    """What is no command is the case to be shown: `faceid case BIZ_ID`."""

    def parse_args(self, ctx: "Context", args: list[str]) -> list[str]:  # type: ignore[override]  # typer has a click of its own
        if args and args[0] not in (*self.commands, "--help"):
            args = [SHOW, *args]
        return super().parse_args(ctx, args)


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    group = typer.Typer(
        cls=_ShowsByDefault,
        no_args_is_help=True,
        help="The life of one verification: [cyan]faceid case BIZ_ID[/]. To decide it again: redecide.\n\n"
        "Example: [cyan]faceid case 1462259748,7ab2dd0e-7d1e-4a2b-9f0c-2f6d2f8d7c11[/]",
    )
    group.command(SHOW)(show)
    group.command()(redecide)
    app.add_typer(group, name="case")


def show(
    name: Named,
    account: InAccount = None,
    json: Annotated[bool, typer.Option("--json", help="JSON for machines.")] = False,
    reveal: Reveal = False,
) -> None:
    """Tell the whole life of a case: arrivals, GetResult, decisions and their reasons, dead letters, replays.

    Exits with 3 when the ledger does not know it. What GetResult answered is never shown.

    Example: [cyan]faceid case show 1462259748,7ab2dd0e-7d1e-4a2b-9f0c-2f6d2f8d7c11[/], or without [cyan]show[/]
    """
    from console.case import show as case_run  # noqa: PLC0415 - keeps `faceid --help` quick

    case_run.tell_case(name, account, json=json, reveal=reveal)


def redecide(
    name: Named,
    *,
    note: Annotated[str, typer.Option("--note", help="Why; kept on the case with who and when.", show_default=False)],
    account: InAccount = None,
    plan: Annotated[bool, typer.Option("--plan", help="Say what would be decided, and change nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask.")] = False,
    json: Annotated[bool, typer.Option("--json", help="JSON for machines.")] = False,
) -> None:
    """Decide a case again, by the evidence that is stored of it and today's policy of its account.

    Shows the decision before and after, and asks. The new one is the next revision: it goes out as an event that names
    the one it supersedes, with an alert when the outcome is another. The same decision again changes nothing.

    Exits with 3 when the ledger does not know the case, with 1 when it can't be decided again.

    Example: [cyan]faceid case redecide 1462259748,7ab2dd0e-7d1e-4a2b-9f0c-2f6d2f8d7c11 --note "policy 8, ticket 17"[/]
    """
    from console.case import redecide as redecide_run  # noqa: PLC0415

    raise typer.Exit(redecide_run.redecide(name, account, note, plan=plan, yes=yes, json=json))
