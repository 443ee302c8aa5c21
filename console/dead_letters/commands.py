"""`faceid dead` and `faceid unverified`: the same four commands for two message sets."""

from math import inf
from typing import Annotated, Literal

import typer

from console.dead_letters.selection import Selection
from console.terminal.errors import UsageError
from console.terminal.options import (
    Everything,
    ForReason,
    Ids,
    InAccount,
    Json,
    OfCase,
    OfStage,
    Rate,
    Reveal,
    Since,
    Until,
)


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    dead = "Dead letters, on which the pipeline has failed: list them, look at one, replay or drop them."
    unverified = "Callbacks not shown to come from FaceID: list them, look at one, replay or drop them."
    app.add_typer(_MessageSetCommands("dead", "error").group(dead), name="dead")
    app.add_typer(_MessageSetCommands("unverified", "bad_signature").group(unverified), name="unverified")


class _MessageSetCommands:
    """The commands of one message set."""

    def __init__(self, message_set: Literal["dead", "unverified"], reason: str) -> None:
        """`reason` is one of this message set, for the examples."""
        self._message_set = message_set
        self._reason = reason

    def group(self, help_text: str) -> typer.Typer:
        """All four of them."""
        group = typer.Typer(help=help_text, no_args_is_help=True)
        for method in (self.list, self.show, self.replay, self.drop):
            text = (method.__doc__ or "").replace("SHELF", self._message_set).replace("REASON", self._reason)
            group.command(method.__name__, help=text)(method)
        return group

    def list(  # noqa: PLR0913 - options of a command
        self,
        *,
        stage: OfStage = None,
        reason: ForReason = None,
        account: InAccount = None,
        biz_id: OfCase = None,
        since: Since = None,
        until: Until = None,
        limit: Annotated[int | None, typer.Option(min=1, help="Rows at most: 100 in the table, else no end.")] = None,
        json: Json = False,
    ) -> None:
        """List items, the oldest first, with counts by stage and reason at the end. No personal data is shown.

        Example: [cyan]faceid SHELF list --reason REASON --since 2h[/]
        """
        from console.dead_letters import actions  # noqa: PLC0415 - keeps `faceid --help` quick

        selection = _selection((), stage, reason, account, biz_id, since, until)
        actions.list_items(self._message_set, selection, limit, json=json)

    def show(
        self,
        item: Annotated[str, typer.Argument(metavar="ID", help="As the listing has it.", show_default=False)],
        reveal: Reveal = False,
        json: Json = False,
    ) -> None:
        """Show everything about one item; the message itself, which is personal data, only with --reveal.

        Example: [cyan]faceid SHELF show 0f8d6a0c3c5b4d0f9a3f1f0c7b2e4d11[/]
        """
        from console.dead_letters import actions  # noqa: PLC0415

        actions.show(self._message_set, item, reveal=reveal, json=json)

    def replay(  # noqa: PLR0913
        self,
        ids: Ids = None,
        *,
        stage: OfStage = None,
        reason: ForReason = None,
        account: InAccount = None,
        biz_id: OfCase = None,
        since: Since = None,
        until: Until = None,
        everything: Everything = False,
        plan: Annotated[bool, typer.Option("--plan", help="Say what would happen, and change nothing.")] = False,
        rate: Rate = None,
        note: Annotated[str, typer.Option(help="Why; kept on the case with who and when.")] = "",
    ) -> None:
        """Put items back on the queue of their stage. Each leaves the message set in the same step.

        May be interrupted and run again: nothing is replayed twice.

        Example: [cyan]faceid SHELF replay --reason REASON --plan[/], then the same with
        [cyan]--rate 50/s --note "mended in 1.4.2"[/] instead of --plan
        """
        from console.dead_letters import actions  # noqa: PLC0415

        selection = _selection(tuple(ids or ()), stage, reason, account, biz_id, since, until)
        _require(selection, everything)
        raise typer.Exit(actions.replay(self._message_set, selection, plan=plan, rate=rate, note=note))

    def drop(  # noqa: PLR0913
        self,
        ids: Ids = None,
        *,
        stage: OfStage = None,
        reason: ForReason = None,
        account: InAccount = None,
        biz_id: OfCase = None,
        since: Since = None,
        until: Until = None,
        everything: Everything = False,
        yes: Annotated[bool, typer.Option("--yes", help="Don't ask.")] = False,
    ) -> None:
        """Delete items for good; a tombstone says who dropped what and when. Asks first.

        Example: [cyan]faceid SHELF drop --reason REASON --until 30d[/]
        """
        from console.dead_letters import actions  # noqa: PLC0415

        selection = _selection(tuple(ids or ()), stage, reason, account, biz_id, since, until)
        _require(selection, everything)
        raise typer.Exit(actions.drop(self._message_set, selection, yes=yes))


def _selection(
    ids: tuple[str, ...],
    stage: OfStage,
    reason: ForReason,
    account: InAccount,
    biz_id: OfCase,
    since: Since,
    until: Until,
) -> Selection:
    since = -inf if since is None else since
    until = inf if until is None else until
    return Selection(ids, stage, reason, account, biz_id, since, until)


def _require(selection: Selection, everything: bool) -> None:
    """Nobody should replay or drop all by leaving something out."""
    if everything == selection.is_narrow:
        raise UsageError("Say which: ids, filters such as --reason, or --all, and not both of these.")
