"""The status as JSON, and as a table with lines for people."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Final

from rich.table import Table
from rich.text import Text

from console.status.consumer_lag import describe, warnings
from console.status.faults import Limits, faults
from console.status.snapshot import SAMPLE, Queue, SetCounts, Status, Worker
from console.terminal.output import plain, plural
from console.terminal.time_format import format_duration, rfc3339
from shared.messaging.topology import STAGES, Stage

FULL: Final = 0.8
"""The backlog is shown in red from this share of its limit."""


def as_record(status: Status, prefix: str, limits: Limits) -> dict[str, Any]:
    """For JSON. `warnings` has what the view shows in red about workers, queues and results."""
    late = [warning for results in status.results for warning in warnings(results, prefix)]
    return asdict(status) | {"at": rfc3339(status.at), "warnings": faults(status, limits) + late}


def view(status: Status, prefix: str, limits: Limits) -> tuple[Table, list[Text]]:
    """For people: a table of the stages, and lines about the rest."""
    lines = [_line("backlog", *_backlog(status)), _line("workers", _workers(status.workers))]
    lines += [_line("", fault, "bold red") for fault in faults(status, limits)]
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


def _workers(workers: Sequence[Worker]) -> str:
    """How many there are, of which versions, and what they work on."""
    versions = " and ".join(sorted({worker.version for worker in workers}))
    in_work = sum(worker.in_work for worker in workers)
    return f"{len(workers)} alive" + (f" (version {versions}), {plural(in_work, 'message')} in work" if workers else "")
