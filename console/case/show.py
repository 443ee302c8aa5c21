"""`faceid case show`: everything about one verification."""

import time
from typing import Annotated, Final

import typer
from rich.table import Table

from console.case.record import find
from console.case.timeline import CaseTimeline, Reads, build_timeline, explain_reasons
from console.terminal.errors import NotFound
from console.terminal.options import InAccount, Reveal
from console.terminal.output import COLOURS, out, plain, plural, print_json, print_line, print_table
from console.terminal.redis_connection import open_redis
from console.terminal.time_format import format_duration, rfc3339
from shared.accounts import account_names
from shared.settings import load_settings

_COLOURS: Final = {"dead": "red", "conflict": "red", "unverified": "red", "delayed": "yellow", "decision": "bold"}
"""By kind of event."""

CaseName = Annotated[
    str, typer.Argument(metavar="BIZ_ID", help="FaceID's biz_id, or your own biz_no.", show_default=False)
]
OneJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def show(name: CaseName, account: InAccount = None, json: OneJson = False, reveal: Reveal = False) -> None:
    """Show a case: arrivals, GetResult calls, decisions with their reasons, dead letters and replays.

    Exits with 1 when the ledger has no such case. FaceID's own texts are shown
    with [cyan]--json --reveal[/] only.

    Example: [cyan]faceid case show 1462259748,7ab2dd0e-7d1e-4a2b-9f0c-2f6d2f8d7c11[/], or without [cyan]show[/]
    """
    settings = load_settings()
    accounts = [account] if account else sorted(account_names(settings))
    with open_redis(settings.redis_url) as redis:
        record = find(redis, settings.prefix, accounts, name)
    if record is None:
        raise NotFound(
            f"The ledger has no case {name} in {', '.join(accounts)}.",
            f"No verified callback has reached it. Look among the dead letters: faceid dead list --biz-id {name}",
        )
    timeline = build_timeline(record, settings.getresult_budget, time.time())
    if json:
        print_json(timeline.as_json(reveal=reveal))
    else:
        _print(timeline, reveal=reveal)


def _print(timeline: CaseTimeline, *, reveal: bool) -> None:
    for name, value in _fields(timeline, reveal=reveal).items():
        print_line(plain(f"{name:<16}", "bold"), plain(value, _state_colour(value) if name == "state" else ""))
    out.print()
    print_table(_events(timeline))
    if timeline.decision:
        out.print()
        for reason in explain_reasons(timeline.decision):
            print_line(f"  {reason}")


def _fields(timeline: CaseTimeline, *, reveal: bool) -> dict[str, str]:
    counts = [f"{count} by {channel}" for channel, count in sorted(timeline.arrivals.items())]
    fields = {
        "biz_id": timeline.biz_id,
        "biz_no": timeline.biz_no or "-",
        "account": timeline.account,
        "state": timeline.state,
        "arrivals": ", ".join(counts) or "none",
        "GetResult": _reads(timeline.reads),
    }
    if timeline.published:
        fields["published"] = f"as event {timeline.published}"
    if timeline.decision and timeline.decision.biz_extra_data:
        extra = timeline.decision.biz_extra_data
        fields["biz_extra_data"] = extra if reveal else f"[hidden, {plural(len(extra), 'character')}]"
    return fields


def _events(timeline: CaseTimeline) -> Table:
    table = Table("time", "after", "event", "details", box=None, header_style="bold", pad_edge=False)
    start = timeline.events[0].at if timeline.events else 0.0
    for event in timeline.events:
        colour = _COLOURS.get(event.kind, "")
        kind, text = plain(event.kind, colour), plain(event.text, colour)
        table.add_row(rfc3339(event.at), f"+{format_duration(event.at - start)}", kind, text)
    return table


def _reads(reads: Reads) -> str:
    parts = [f"{plural(reads.used, 'call')} used, {reads.left} left"]
    if reads.stored_bytes:
        parts.append("the answer is stored")
    if reads.set_aside_bytes:
        parts.append("an earlier answer was no final result")
    if reads.under_way:
        parts.append("a call is running")
    elif reads.retry_in_seconds:
        parts.append(f"next call allowed in {format_duration(reads.retry_in_seconds)}")
    if reads.refused:
        parts.append(f"permanently refused: {reads.refused}")
    return "; ".join(parts)


def _state_colour(state: str) -> str:
    return COLOURS.get(state.partition(",")[0], "red" if state.startswith("stopped") else "yellow")
