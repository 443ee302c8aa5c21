"""The status as people and machines read it."""

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any, Final

from rich.table import Table
from rich.text import Text

from console.status.consumer_lag import amiss, told
from console.status.snapshot import SAMPLE, Census, Queue, Status
from console.terminal.output import plain
from console.terminal.time_format import rfc3339, span
from shared.messaging.topology import STAGES, Stage

FULL: Final = 0.8
"""Share of the backlog limit from which it is shown in red."""


def as_record(status: Status, prefix: str) -> dict[str, Any]:
    """For machines; `amiss` has what people are shown of the results in red."""
    wrong = [fault for results in status.results for fault in amiss(results, prefix)]
    return asdict(status) | {"at": rfc3339(status.at), "warnings": wrong}


def view(status: Status, prefix: str, lease: float) -> tuple[Table, list[Text]]:
    """For people: a table of the stages, and lines on the rest. A worker silent for a `lease`, in seconds, is amiss."""
    lines = [_line("backlog", *_backlog(status)), _line("workers", *_workers(status, lease))]
    for breaker in status.breakers:
        rest = f"rests for {span(breaker.open_seconds)}" if breaker.open_seconds else "is being probed"
        opened = f"open: GetResult of account {breaker.account} {rest} ({breaker.code})"
        lines.append(_line("breaker", opened, "bold red"))
    for results in status.results:
        lines.append(_line("results", told(results)))
        lines += [_line("", fault, "bold red") for fault in amiss(results, prefix)]
    if any(census.estimated for census in status.message_sets.values()):
        lines.append(plain(f"~ estimated from {SAMPLE:,} items of a longer message set", "dim"))
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
            stage, *_depth(queues.get(stage)), *(_why(census, stage) for census in status.message_sets.values())
        )
    return table


def _depth(queue: Queue | None) -> tuple[str, str, str]:
    if queue is None:
        return "?", "?", "?"
    return _number(queue.waiting), _number(queue.in_work), _oldest(queue)


def _oldest(queue: Queue) -> str:
    if queue.waiting or queue.in_work:
        return "?" if queue.oldest_seconds is None else span(queue.oldest_seconds)
    return "-"


def _number(count: int | None) -> str:
    return "?" if count is None else f"{count:,}"


def _why(census: Census, stage: Stage) -> Text:
    mark = "~" if census.estimated else ""
    reasons = census.reasons.get(stage, {})
    return Text("\n").join(plain(f"{mark}{count:,} {reason}") for reason, count in reasons.items()) or Text("-")


def _line(name: str, text: str, style: str = "") -> Text:
    return Text.assemble((f"{name:<9}", "bold"), plain(text, style))


def _backlog(status: Status) -> tuple[str, str]:
    if status.backlog is None:
        return "not known: the broker does not tell", "dim"
    limit = status.max_backlog
    return f"{status.backlog:,} of {limit:,}", "bold red" if status.backlog >= FULL * limit else ""


def _workers(status: Status, lease: float) -> tuple[str, str]:
    if status.workers is None:
        return _subscribed(status.queues)
    silent = [worker for worker in status.workers if worker.idle_seconds > lease]
    if status.readers is None:
        alive = len(status.workers) - len(silent)
        shown = f"{alive} alive"
    else:
        alive, shown = status.readers, f"{status.readers} connections are reading queues"
        silent = [worker for worker in silent if worker.in_work]  # without work it may just have nothing to do
    if silent:
        names = ", ".join(f"{worker.name} ({span(worker.idle_seconds)})" for worker in silent)
        return f"{shown}, {len(silent)} silent: {names}", "bold red"
    return shown, "" if alive else "bold red"


def _subscribed(queues: Iterable[Queue]) -> tuple[str, str]:
    """Where workers have no names, how many read the queue of each stage."""
    known = {queue.stage: queue.readers for queue in queues if queue.readers is not None}
    if not known:
        return "not known: the broker does not tell", "dim"
    shown = ", ".join(f"{readers:,} on {stage}" for stage, readers in known.items())
    return shown, "" if all(known.values()) else "bold red"
