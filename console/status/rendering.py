"""The status as JSON, and as a table with lines for people."""

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any, Final

from rich.table import Table
from rich.text import Text

from console.status.consumer_lag import describe, warnings
from console.status.snapshot import SAMPLE, Queue, SetCounts, Status
from console.terminal.output import plain, plural
from console.terminal.time_format import format_duration, rfc3339
from shared.messaging.topology import STAGES, Stage

FULL: Final = 0.8
"""The backlog is shown in red from this share of its limit."""


def as_record(status: Status, prefix: str) -> dict[str, Any]:
    """For JSON. `warnings` has what the view shows in red about the results."""
    found = [warning for results in status.results for warning in warnings(results, prefix)]
    return asdict(status) | {"at": rfc3339(status.at), "warnings": found}


def view(status: Status, prefix: str, lease: float) -> tuple[Table, list[Text]]:
    """For people: a table of the stages, and lines about the rest. A worker idle for `lease` seconds is in red."""
    lines = [_line("backlog", *_backlog(status)), _line("workers", *_workers(status, lease))]
    for breaker in status.breakers:
        wait = breaker.retry_in_seconds
        retry = f"next try in {format_duration(wait)}" if wait else "the next try is due"
        text = f"GetResult of account {breaker.account} is paused ({breaker.code}), {retry}"
        lines.append(_line("breaker", text, "bold red"))
    for results in status.results:
        lines.append(_line("results", describe(results)))
        lines += [_line("", warning, "bold red") for warning in warnings(results, prefix)]
    if any(counts.estimated for counts in status.message_sets.values()):
        lines.append(plain(f"~ estimated from {SAMPLE:,} items of the message set", "dim"))
    return _stages(status), lines


def _stages(status: Status) -> Table:
    table = Table("stage", box=None, header_style="bold", pad_edge=False)
    for name in ("waiting", "in work", "oldest"):
        table.add_column(name, justify="right")
    for name in status.message_sets:
        total = status.message_sets[name].total
        table.add_column(f"{name} {total:,}" if total else name)
    queues = {queue.stage: queue for queue in status.queues}
    for stage in STAGES:
        table.add_row(
            stage, *_depth(queues.get(stage)), *(_reasons(counts, stage) for counts in status.message_sets.values())
        )
    return table


def _depth(queue: Queue | None) -> tuple[str, str, str]:
    if queue is None:
        return "?", "?", "?"
    return _number(queue.waiting), _number(queue.in_work), _oldest(queue)


def _oldest(queue: Queue) -> str:
    if queue.waiting or queue.in_work:
        return "?" if queue.oldest_seconds is None else format_duration(queue.oldest_seconds)
    return "-"


def _number(count: int | None) -> str:
    return "?" if count is None else f"{count:,}"


def _reasons(counts: SetCounts, stage: Stage) -> Text:
    mark = "~" if counts.estimated else ""
    reasons = counts.reasons.get(stage, {})
    return Text("\n").join(plain(f"{mark}{count:,} {reason}") for reason, count in reasons.items()) or Text("-")


def _line(name: str, text: str, style: str = "") -> Text:
    return Text.assemble((f"{name:<9}", "bold"), plain(text, style))


def _backlog(status: Status) -> tuple[str, str]:
    if status.backlog is None:
        return "unknown: the broker does not say", "dim"
    limit = status.max_backlog
    return f"{status.backlog:,} of {limit:,}", "bold red" if status.backlog >= FULL * limit else ""


def _workers(status: Status, lease: float) -> tuple[str, str]:
    if status.workers is None:
        return _subscribed(status.queues)
    idle = [worker for worker in status.workers if worker.idle_seconds > lease]
    if status.readers is None:
        alive = len(status.workers) - len(idle)
        text = f"{alive} alive"
    else:
        alive, text = status.readers, f"{plural(status.readers, 'connection')} reading queues"
        idle = [worker for worker in idle if worker.in_work]  # without work its idle time says nothing
    if idle:
        names = ", ".join(f"{worker.name} ({format_duration(worker.idle_seconds)})" for worker in idle)
        return f"{text}, {len(idle)} not responding: {names}", "bold red"
    return text, "" if alive else "bold red"


def _subscribed(queues: Iterable[Queue]) -> tuple[str, str]:
    """How many read the queue of each stage, on a broker that does not name the workers."""
    known = {queue.stage: queue.readers for queue in queues if queue.readers is not None}
    if not known:
        return "unknown: the broker does not say", "dim"
    text = ", ".join(f"{readers:,} on {stage}" for stage, readers in known.items())
    return text, "" if all(known.values()) else "bold red"
