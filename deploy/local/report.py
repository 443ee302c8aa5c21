"""Compare the sessions of a run with the decisions that were published. No I/O."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from deploy.local.session_runner import FinishedSession
from shared.events.decision import Decision, Outcome


@dataclass(frozen=True, slots=True)
class ReceivedDecision:
    """A decision from the results queue."""

    decision: Decision
    at: float
    """When it was published (Redis Streams) or received (other brokers), in Unix seconds."""


@dataclass(frozen=True, slots=True)
class Report:
    """The counts of a run."""

    sessions: int
    decisions: int
    lost: tuple[str, ...]
    """biz_ids without a decision."""
    twice: tuple[str, ...]
    """biz_ids with several decisions."""
    wrong: tuple[str, ...]
    """biz_ids with another outcome than the scenario must have."""
    max_reads: int
    """The most GetResult reads of one biz_id."""
    forged: int
    """Forged callbacks that were sent."""
    unverified: int
    """Callbacks in the set of unverified callbacks."""

    @property
    def good(self) -> bool:
        """Whether nothing was lost, published twice or wrong, and every forged callback is unverified."""
        each_decided_once = not (self.lost or self.twice or self.wrong)
        return (
            each_decided_once
            and self.decisions == self.sessions
            and self.max_reads <= 3
            and self.forged == self.unverified
        )

    @property
    def line(self) -> str:
        """The counts in one line."""
        return f"{self.sessions} sessions, {self.decisions} decisions, {len(self.lost)} lost, {len(self.twice)} twice"


def count(
    played: Sequence[FinishedSession], received: Sequence[ReceivedDecision], max_reads: int, unverified: int
) -> Report:
    """Compare the sessions with the decisions."""
    decided = Counter(one.decision.biz_id for one in received)
    outcomes = {one.decision.biz_id: one.decision.outcome for one in received}
    return Report(
        sessions=len(played),
        decisions=len(received),
        lost=tuple(one.biz_id for one in played if one.biz_id not in decided),
        twice=tuple(biz_id for biz_id, times in decided.items() if times > 1),
        wrong=tuple(
            one.biz_id for one in played if outcomes.get(one.biz_id, one.session.outcome) != one.session.outcome
        ),
        max_reads=max_reads,
        forged=sum(one.session.faults.forged is not None for one in played),
        unverified=unverified,
    )


def by_reason(received: Sequence[ReceivedDecision]) -> Mapping[tuple[Outcome, str], int]:
    """The number of decisions for each outcome and its reason codes."""
    return Counter((one.decision.outcome, ", ".join(r.code for r in one.decision.reasons)) for one in received)


def latencies(played: Sequence[FinishedSession], received: Sequence[ReceivedDecision]) -> list[float]:
    """Seconds from the first callback to the decision, sorted. Sessions that have to wait are left out."""
    prompt = {one.biz_id for one in played if not one.session.waits}
    return sorted(one.at - _received(one.decision) for one in received if one.decision.biz_id in prompt)


def percentile(values: Sequence[float], share: float) -> float:
    """The percentile of sorted `values`; `share` is 0 to 1. 0 when there are no values."""
    return values[min(int(len(values) * share), len(values) - 1)] if values else 0.0


def _received(decision: Decision) -> float:
    return datetime.fromisoformat(decision.received_at).timestamp()
