"""What `faceid case` does."""

import time
from typing import Final

from rich.table import Table

from console.case.record import find
from console.case.timeline import CaseTimeline, Reads, build_timeline, reasons
from console.terminal.errors import NotFound
from console.terminal.output import COLOURS, as_json, out, plain, tabulate, tell
from console.terminal.redis_connection import open_redis
from console.terminal.time_format import rfc3339, span
from shared.settings import account_names, load_settings

_COLOURS: Final = {"dead": "red", "conflict": "red", "unverified": "red", "delayed": "yellow", "decision": "bold"}
"""By kind of event."""


def tell_case(name: str, account: str | None, *, json: bool, reveal: bool) -> None:
    """Print the case of a biz_id or a biz_no; raises `NotFound`."""
    settings = load_settings()
    accounts = [account] if account else sorted(account_names(settings))
    with open_redis(settings.redis_url) as redis:
        record = find(redis, settings.prefix, accounts, name)
    if record is None:
        raise NotFound(
            f"The ledger knows no case {name} of {', '.join(accounts)}.",
            f"Nothing has arrived of it, or nothing got as far: see faceid dead list --biz-id {name}",
        )
    told = build_timeline(record, settings.getresult_budget, time.time())
    if json:
        as_json(told.as_json(reveal=reveal))
    else:
        _tell(told, reveal=reveal)


def _tell(told: CaseTimeline, *, reveal: bool) -> None:
    """The case for people: what it is, what happened, why it was decided so."""
    counted = ", ".join(f"{count} by {channel}" for channel, count in sorted(told.arrivals.items())) or "none"
    facts = {
        "biz_id": told.biz_id,
        "biz_no": told.biz_no or "-",
        "account": told.account,
        "state": told.state,
        "arrivals": counted,
        "GetResult": _reads(told.reads),
    }
    if told.published:
        facts["published"] = f"as event {told.published}"
    if told.decision and told.decision.biz_extra_data:
        extra = told.decision.biz_extra_data
        facts["biz_extra_data"] = extra if reveal else f"[hidden, {len(extra)} characters]"
    for name, value in facts.items():
        tell(plain(f"{name:<16}", "bold"), plain(value, _state_colour(value) if name == "state" else ""))
    out.print()
    tabulate(_timeline(told))
    if told.decision:
        out.print()
        for reason in reasons(told.decision):
            tell(f"  {reason}")


def _timeline(told: CaseTimeline) -> Table:
    table = Table("time", "after", "event", "", box=None, header_style="bold", pad_edge=False)
    start = told.events[0].at if told.events else 0.0
    for event in told.events:
        colour = _COLOURS.get(event.kind, "")
        kind, text = plain(event.kind, colour), plain(event.text, colour)
        table.add_row(rfc3339(event.at), f"+{span(event.at - start)}", kind, text)
    return table


def _reads(reads: Reads) -> str:
    parts = [f"{reads.used} read{'' if reads.used == 1 else 's'} used, {reads.left} left"]
    if reads.stored_bytes:
        parts.append("its answer is stored")
    if reads.set_aside_bytes:
        parts.append("an earlier answer decided nothing")
    if reads.under_way:
        parts.append("a read is under way")
    elif reads.rests:
        parts.append(f"rests for {span(reads.rests)}")
    if reads.refused:
        parts.append(f"refused for good: {reads.refused}")
    return "; ".join(parts)


def _state_colour(state: str) -> str:
    return COLOURS.get(state.partition(",")[0], "red" if state.startswith("stopped") else "yellow")
