"""Whether somebody reads the results, and keeps up with them. Pure."""

from collections.abc import Iterator
from typing import Final

from console.status.snapshot import Reader, Results
from console.terminal.time_format import span

BEHIND_SECONDS: Final = 60.0
"""Age of the oldest message that readers have not acknowledged from which they fall behind."""
BEHIND_COUNT: Final = 1000
"""Messages that wait for readers from which they fall behind, where the broker does not tell how old they are."""


def told(results: Results) -> str:
    """A results queue in a line."""
    held = "?" if results.held is None else f"{results.held:,}"
    if results.readers is None:
        return f"{held} {results.name}; who reads them is not known"
    readers = ", ".join(_reader(reader) for reader in results.readers)
    return f"{held} {results.name}; " + (f"read by {readers}" if readers else "read by nobody")


def amiss(results: Results, prefix: str) -> Iterator[str]:
    """What is wrong with how they are read, each with what to do."""
    queue = f"{prefix}.{results.name}"
    if results.readers == () and results.held:
        yield f"{queue}: nobody reads it, {results.held:,} wait; start a consumer before FACEID_RETENTION_DAYS are over"
    for reader in results.readers or ():
        where = f"{queue}, group {reader.name}" if reader.name else queue
        if _has_stopped(reader):
            hint = f"start its consumer, or XGROUP DESTROY {queue} {reader.name}"
            yield f"{where}: nobody reads for it, {_lag(reader)}; {hint}"
        elif _is_behind(reader):
            yield f"{where}: {_lag(reader)}; start more consumers, or look at what keeps them"


def _has_stopped(reader: Reader) -> bool:
    """Work is there, and for long nobody has asked for it."""
    silent = reader.seen_seconds is None or reader.seen_seconds >= BEHIND_SECONDS
    return bool(reader.behind_seconds) and (reader.consumers == 0 or silent)


def _is_behind(reader: Reader) -> bool:
    if reader.behind_seconds is not None:
        return reader.behind_seconds >= BEHIND_SECONDS
    return (reader.waiting or 0) >= BEHIND_COUNT


def _reader(reader: Reader) -> str:
    consumers = "1 consumer" if reader.consumers == 1 else f"{reader.consumers:,} consumers"
    if not reader.name:
        return consumers
    marks = [consumers, *([f"{reader.waiting:,} wait"] if reader.waiting else [])]
    marks += [f"{reader.in_work:,} in work"] if reader.in_work else []
    marks += [f"seen {span(reader.seen_seconds)} ago"] if reader.seen_seconds is not None else []
    return f"{reader.name} ({', '.join(marks)})"


def _lag(reader: Reader) -> str:
    count = "" if reader.waiting is None else f" by {reader.waiting + (reader.in_work or 0):,}"
    return f"behind{count}" + (f", the oldest for {span(reader.behind_seconds)}" if reader.behind_seconds else "")
