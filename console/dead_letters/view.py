"""`faceid dead|unverified list` and `show`."""

import time
from collections import Counter
from dataclasses import replace
from itertools import islice
from typing import Annotated, Final

import typer

from console.dead_letters.rendering import as_table, details, name_and_value_lines, print_counts, summary
from console.dead_letters.selection import Kind, noun, select
from console.terminal.errors import NotFound
from console.terminal.options import ForReason, InAccount, Json, OfCase, OfStage, Reveal, Since, Until
from console.terminal.output import out, plain, print_json, print_line, print_table
from console.terminal.redis_connection import open_redis
from console.terminal.time_format import rfc3339
from shared.ledger.message_set import MessageSet
from shared.messaging.stored_message import StoredMessage
from shared.settings import load_settings

ROWS: Final = 100
"""Rows of a table without --limit."""

Limit = Annotated[
    int | None,
    typer.Option(min=1, help="Rows at most. Without it, 100 rows in a table and all with --json.", show_default=False),
]


def list_items(  # noqa: PLR0913 - options of a command
    ctx: typer.Context,
    *,
    stage: OfStage = None,
    reason: ForReason = None,
    account: InAccount = None,
    biz_id: OfCase = None,
    since: Since = None,
    until: Until = None,
    limit: Limit = None,
    json: Json = False,
) -> None:
    """List items, oldest first, and count them by stage and reason. No personal data is shown.

    Example: [cyan]faceid NAME list --reason REASON --since 2h[/]
    """
    settings, now = load_settings(), time.time()
    selection = select((), stage, reason, account, biz_id, since, until).within(ctx.obj)
    with open_redis(settings.redis_url) as redis:
        items = selection.find(MessageSet(redis, settings.prefix, ctx.obj))
        if json:
            for stored in islice(items, limit):
                print_json(summary(stored, now))
            return
        rows, kinds = list[StoredMessage](), Counter[Kind]()
        for stored in items:
            kinds[stored.stage, stored.reason] += 1
            if len(rows) < (limit or ROWS):
                rows.append(replace(stored, message=None, entry=()))
    if rows:
        print_table(as_table(rows, now))
    print_counts(ctx.obj, kinds)
    if len(rows) < kinds.total():
        out.print(
            f"Only the oldest {len(rows):,} are shown. For more: --limit N, or --json.", style="dim", soft_wrap=True
        )


def show(
    ctx: typer.Context,
    item: Annotated[str, typer.Argument(metavar="ID", help="The id that list shows.", show_default=False)],
    reveal: Reveal = False,
    json: Json = False,
) -> None:
    """Show everything about one item. The message itself is personal data: it is shown only with --reveal.

    Exits with 1 when there is no such item.

    Example: [cyan]faceid NAME show 0f8d6a0c3c5b4d0f9a3f1f0c7b2e4d11[/]
    """
    settings = load_settings()
    with open_redis(settings.redis_url) as redis:
        found = MessageSet(redis, settings.prefix, ctx.obj).get([item])
        tombstones = MessageSet(redis, settings.prefix, "tombstones").get([item])
    if not found:
        dropped = [f"It was {stone.detail} at {rfc3339(stone.at)}." for stone in tombstones]
        raise NotFound(f"{item} is not among the {noun(ctx.obj)}.", *dropped)
    shown = details(found[0], time.time(), reveal=reveal)
    if json:
        print_json(shown)
        return
    for name, value in name_and_value_lines(shown):
        print_line(plain(f"{name:<16}", "bold"), value)
