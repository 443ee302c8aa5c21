"""The topology is one table: which stage reads which queue, and where its items may go.

A test proves it closed: every queue written is read by a stage or by a consumer outside, every queue read is written.
"""

from dataclasses import dataclass
from typing import Final, Literal

Stage = Literal["verify", "reconcile", "classify", "publish"]
Exit = Literal["drop", "unverified", "delay", "dead"]


@dataclass(frozen=True, slots=True)
class Row:
    """One stage: the queue it reads, the queues it writes, and the exits it may take instead."""

    stage: Stage
    reads: str
    writes: tuple[str, ...]
    exits: frozenset[Exit]


CALLBACKS: Final = "callbacks"
VERIFIED: Final = "verified"
RECONCILED: Final = "reconciled"
DECIDED: Final = "decided"
DECISIONS: Final = "decisions"
ALERTS: Final = "alerts"

TOPOLOGY: Final = (
    Row("verify", CALLBACKS, (VERIFIED,), frozenset({"drop", "unverified", "delay", "dead"})),
    Row("reconcile", VERIFIED, (RECONCILED,), frozenset({"drop", "delay", "dead"})),
    Row("classify", RECONCILED, (DECIDED,), frozenset({"drop", "delay", "dead"})),
    Row("publish", DECIDED, (DECISIONS, ALERTS), frozenset({"delay", "dead"})),
)

GROUP: Final = "faceid"
"""The consumer group of the workers, which share what each queue holds."""

STAGES: Final[tuple[Stage, ...]] = tuple(row.stage for row in TOPOLOGY)
INNER_QUEUES: Final = tuple(row.reads for row in TOPOLOGY)
"""Queues that only this pipeline reads; their depth is the backlog."""

RESULT_QUEUES: Final = (DECISIONS, ALERTS)
"""Queues that others read."""

BY_STAGE: Final[dict[Stage, Row]] = {row.stage: row for row in TOPOLOGY}
BY_QUEUE: Final[dict[str, Row]] = {row.reads: row for row in TOPOLOGY}
FOLLOWING: Final[dict[Stage, Stage]] = {
    row.stage: BY_QUEUE[queue].stage for row in TOPOLOGY for queue in row.writes if queue in BY_QUEUE
}
"""The stage that goes on with what a stage has made; the last one has none."""


def queue_name(prefix: str, queue: str) -> str:
    """The name on the broker: `faceid.callbacks` for prefix `faceid`."""
    return f"{prefix}.{queue}"
