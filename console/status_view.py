"""The status as people and machines read it."""

from dataclasses import asdict
from typing import Any, Final

from rich.table import Table
from rich.text import Text

from console.gauges import SAMPLE, Census, Queue, Status
from console.say import plain
from console.times import rfc3339, span
from shared.topology import STAGES, Stage

FULL: Final = 0.8
"""Share of the backlog limit from which it is shown in red."""


def as_record(status: Status) -> dict[str, Any]:
    """For machines."""
    return asdict(status) | {"at": rfc3339(status.at)}


def view(status: Status, lease: float) -> tuple[Table, list[Text]]:
    """For people: a table of the stages, and lines on the rest. A worker silent for a `lease`, in seconds, is amiss."""
    lines = [_line("backlog", *_backlog(status)), _line("workers", *_workers(status, lease))]
    for breaker in status.breakers:
        rest = f"rests for {span(breaker.open_seconds)}" if breaker.open_seconds else "is being probed"
        told = f"open: GetResult of account {breaker.account} {rest} ({breaker.code})"
        lines.append(_line("breaker", told, "bold red"))
    lines.append(_line("results", *_results(status)))
    if any(census.estimated for census in status.shelves.values()):
        lines.append(plain(f"~ estimated from {SAMPLE:,} items of a longer shelf", "dim"))
    return _stages(status), lines


def _stages(status: Status) -> Table:
    table = Table("stage", box=None, header_style="bold", pad_edge=False)
    for name in ("waiting", "in work", "oldest"):
        table.add_column(name, justify="right")
    for name in status.shelves:
        total = status.shelves[name].total
        table.add_column(f"{name} {total:,}" if total else name)
    queues = {queue.stage: queue for queue in status.queues or ()}
    for stage in STAGES:
        table.add_row(stage, *_depth(queues.get(stage)), *(_why(census, stage) for census in status.shelves.values()))
    return table


def _depth(queue: Queue | None) -> tuple[str, str, str]:
    if queue is None:
        return "?", "?", "?"
    oldest = span(queue.oldest_seconds) if queue.waiting or queue.in_work else "-"
    return f"{queue.waiting:,}", f"{queue.in_work:,}", oldest


def _why(census: Census, stage: Stage) -> Text:
    mark = "~" if census.estimated else ""
    reasons = census.reasons.get(stage, {})
    return Text("\n").join(plain(f"{mark}{count:,} {reason}") for reason, count in reasons.items()) or Text("-")


def _line(name: str, text: str, style: str = "") -> Text:
    return Text.assemble((f"{name:<9}", "bold"), plain(text, style))


def _backlog(status: Status) -> tuple[str, str]:
    if status.backlog is None:
        return "not known: the queues are not on Redis", "dim"
    limit = status.max_backlog
    return f"{status.backlog:,} of {limit:,}", "bold red" if status.backlog >= FULL * limit else ""


def _workers(status: Status, lease: float) -> tuple[str, str]:
    if status.workers is None:
        return "not known: the queues are not on Redis", "dim"
    silent = [worker for worker in status.workers if worker.silent_seconds > lease]
    if status.readers is None:
        alive = len(status.workers) - len(silent)
        told = f"{alive} alive"
    else:
        alive, told = status.readers, f"{status.readers} connections are reading queues"
        silent = [worker for worker in silent if worker.in_work]  # without work it may just have nothing to do
    if silent:
        names = ", ".join(f"{worker.name} ({span(worker.silent_seconds)})" for worker in silent)
        return f"{told}, {len(silent)} silent: {names}", "bold red"
    return told, "" if alive else "bold red"


def _results(status: Status) -> tuple[str, str]:
    if status.results is None:
        return "not known: they are not on Redis", "dim"
    return ", ".join(f"{count:,} {name}" for name, count in status.results.items()) + " in the queue", ""
