"""Whether results are read, and how far their readers are behind. No I/O."""

from collections.abc import Iterator
from typing import Final

from console.status.snapshot import Reader, Results
from console.terminal.output import plural
from console.terminal.time_format import format_duration

BEHIND_SECONDS: Final = 60.0
"""Readers are behind when their oldest unacknowledged message is as old as this."""
BEHIND_COUNT: Final = 1000
"""Readers are behind when so many messages wait, on a broker that does not say how old they are."""


def describe(results: Results) -> str:
    """A results queue in one line."""
    count = "?" if results.count is None else f"{results.count:,}"
    if results.readers is None:
        return f"{count} {results.name}; the broker does not say who reads them"
    readers = ", ".join(_reader(reader) for reader in results.readers)
    return f"{count} {results.name}; " + (f"read by {readers}" if readers else "no reader")


def warnings(results: Results, prefix: str) -> Iterator[str]:
    """What is wrong with the readers of a results queue, each with what to do."""
    queue = f"{prefix}.{results.name}"
    if results.readers == () and results.count:
        waiting = plural(results.count, "message")
        yield f"{queue}: no reader, {waiting}; start a consumer before FACEID_RETENTION_DAYS are over"
    for reader in results.readers or ():
        where = f"{queue}, group {reader.name}" if reader.name else queue
        if _has_stopped(reader):
            hint = f"start its consumer, or XGROUP DESTROY {queue} {reader.name}"
            yield f"{where}: no active consumer, {_lag(reader)}; {hint}"
        elif _is_behind(reader):
            yield f"{where}: {_lag(reader)}; start more consumers, or find out why they are slow"


def _has_stopped(reader: Reader) -> bool:
    """Whether messages wait, and no consumer has asked for them for a long time."""
    idle = reader.seen_seconds is None or reader.seen_seconds >= BEHIND_SECONDS
    return bool(reader.behind_seconds) and (reader.consumers == 0 or idle)


def _is_behind(reader: Reader) -> bool:
    if reader.behind_seconds is not None:
        return reader.behind_seconds >= BEHIND_SECONDS
    return (reader.waiting or 0) >= BEHIND_COUNT


def _reader(reader: Reader) -> str:
    consumers = plural(reader.consumers, "consumer")
    if not reader.name:
        return consumers
    parts = [consumers, *([f"{reader.waiting:,} waiting"] if reader.waiting else [])]
    parts += [f"{reader.in_work:,} in work"] if reader.in_work else []
    parts += [f"seen {format_duration(reader.seen_seconds)} ago"] if reader.seen_seconds is not None else []
    return f"{reader.name} ({', '.join(parts)})"


def _lag(reader: Reader) -> str:
    count = "" if reader.waiting is None else f" by {reader.waiting + (reader.in_work or 0):,}"
    return f"behind{count}" + (
        f", the oldest for {format_duration(reader.behind_seconds)}" if reader.behind_seconds else ""
    )
