"""`faceid dead|unverified drop`: delete items, and leave tombstones."""

from collections.abc import Sequence

import typer

from console.dead_letters.batch_move import MoveContext, Pace, run
from console.dead_letters.rendering import print_counts, print_missing
from console.dead_letters.selection import count_by_kind, noun, select
from console.terminal.options import Everything, ForReason, Ids, InAccount, OfCase, OfStage, Since, Until, Yes
from console.terminal.redis_connection import open_redis
from shared.ledger.case_key import CaseKey, release_command
from shared.ledger.message_set import Command, MessageSet
from shared.messaging.stored_message import StoredMessage
from shared.settings import load_settings


def drop(  # noqa: PLR0913 - options of a command
    ctx: typer.Context,
    ids: Ids = None,
    *,
    stage: OfStage = None,
    reason: ForReason = None,
    account: InAccount = None,
    biz_id: OfCase = None,
    since: Since = None,
    until: Until = None,
    everything: Everything = False,
    yes: Yes = False,
) -> None:
    """Delete items permanently. Asks first. A tombstone keeps who dropped which item and when.

    Exits with 1 when an id is not found.

    Example: [cyan]faceid NAME drop --reason REASON --until 30d[/]
    """
    selection = select(ids, stage, reason, account, biz_id, since, until).within(ctx.obj).require(everything)
    settings = load_settings()
    with open_redis(settings.redis_url) as redis:
        message_set = MessageSet(redis, settings.prefix, ctx.obj)
        tombstones = MessageSet(redis, settings.prefix, "tombstones")
        selection = selection.up_to(message_set.newest())  # an item that is added meanwhile is not dropped
        found = count_by_kind(message_set, selection)
        if found.missing:
            print_missing(ctx.obj, found.missing)
        print_counts(ctx.obj, found.kinds)
        if found.total and not (
            yes or typer.confirm(f"Delete {found.total:,} {noun(ctx.obj, found.total)} permanently?", err=True)
        ):
            raise typer.Exit(1)
        action = Drop(MoveContext.now(settings, ctx.obj), tombstones)
        raise typer.Exit(run(message_set, selection, found, action, Pace(None), "dropped"))


class Drop:
    """Delete items, and leave tombstones. Another item may then own the case."""

    def __init__(self, context: MoveContext, tombstones: MessageSet) -> None:
        self._context = context
        self._tombstones = tombstones

    def refusal(self, _: StoredMessage) -> str:
        """None: every item can be dropped."""
        return ""

    def prepare(self, batch: Sequence[StoredMessage]) -> None:
        """Make room for the tombstones."""
        self._context.make_room(self._tombstones, batch)

    def commands(self, stored: StoredMessage) -> Sequence[Command]:
        """The tombstone, the release of the case, and the note."""
        context = self._context
        detail = f"dropped by {context.by} from the message set {context.message_set}"
        commands = context.tombstone_commands(stored, detail)
        if stored.biz_id:
            commands += (release_command(context.prefix, CaseKey(stored.account, stored.biz_id)),)
        return (*commands, *context.note_commands("drop", stored))
