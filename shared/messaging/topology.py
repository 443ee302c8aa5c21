"""One table: which queue each stage reads, which queues it writes, and how else an item may end there.

A test checks that every queue is written, and read by a stage or by a consumer.
"""

from dataclasses import dataclass
from typing import Final, Literal

Stage = Literal["verify", "reconcile", "classify", "publish"]
Exit = Literal["drop", "unverified", "delay", "dead"]


@dataclass(frozen=True, slots=True)
class Row:
    """A stage: the queue it reads, the queues it writes, and the results that it may have instead."""

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
    Row("publish", DECIDED, (DECISIONS, ALERTS), frozenset({"drop", "delay", "dead"})),
)

GROUP: Final = "faceid"
"""The consumer group of the workers: they share the messages of each queue."""

STAGES: Final[tuple[Stage, ...]] = tuple(row.stage for row in TOPOLOGY)
INNER_QUEUES: Final = tuple(row.reads for row in TOPOLOGY)
"""The queues that the stages read. The messages in them are the backlog."""

RESULT_QUEUES: Final = (DECISIONS, ALERTS)
"""The queues that consumers read."""

BY_STAGE: Final[dict[Stage, Row]] = {row.stage: row for row in TOPOLOGY}
BY_QUEUE: Final[dict[str, Row]] = {row.reads: row for row in TOPOLOGY}
FOLLOWING: Final[dict[Stage, Stage]] = {
    row.stage: BY_QUEUE[queue].stage for row in TOPOLOGY for queue in row.writes if queue in BY_QUEUE
}
"""The next stage of each stage; the last one has none."""


def queue_name(prefix: str, queue: str) -> str:
    """The name on the broker: `faceid.callbacks` for prefix `faceid`."""
    return f"{prefix}.{queue}"
