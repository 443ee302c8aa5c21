"""What a run comes to: pure, from what was played and what was decided."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from deploy.local.player import Played
from shared.events.decision import Decision, Outcome


@dataclass(frozen=True, slots=True)
class Arrived:
    """A decision as it came out of the results queue."""

    decision: Decision
    at: float
    """Unix seconds, by the results queue's clock."""


@dataclass(frozen=True, slots=True)
class Report:
    """The count of a run. `wrong`: decided once, with another outcome than the session should have."""

    sessions: int
    decisions: int
    lost: tuple[str, ...]
    twice: tuple[str, ...]
    wrong: tuple[str, ...]
    max_reads: int
    forged: int
    unverified: int

    @property
    def good(self) -> bool:
        """Whether every promise held."""
        kept = not (self.lost or self.twice or self.wrong)
        return kept and self.decisions == self.sessions and self.max_reads <= 3 and self.forged == self.unverified

    @property
    def line(self) -> str:
        """The run in one line."""
        return f"{self.sessions} sessions, {self.decisions} decisions, {len(self.lost)} lost, {len(self.twice)} twice"


def count(played: Sequence[Played], arrived: Sequence[Arrived], max_reads: int, unverified: int) -> Report:
    """Hold what was decided against what was played."""
    decided = Counter(one.decision.biz_id for one in arrived)
    outcomes = {one.decision.biz_id: one.decision.outcome for one in arrived}
    return Report(
        sessions=len(played),
        decisions=len(arrived),
        lost=tuple(one.biz_id for one in played if one.biz_id not in decided),
        twice=tuple(biz_id for biz_id, times in decided.items() if times > 1),
        wrong=tuple(
            one.biz_id for one in played if outcomes.get(one.biz_id, one.session.outcome) != one.session.outcome
        ),
        max_reads=max_reads,
        forged=sum(one.session.faults.forged is not None for one in played),
        unverified=unverified,
    )


def by_reason(arrived: Sequence[Arrived]) -> Mapping[tuple[Outcome, str], int]:
    """How many decisions there are of each outcome with each set of reasons."""
    return Counter((one.decision.outcome, ", ".join(r.code for r in one.decision.reasons)) for one in arrived)


def latencies(played: Sequence[Played], arrived: Sequence[Arrived]) -> list[float]:
    """Seconds from the first callback to the decision, sorted, of the sessions that nothing had to wait for."""
    prompt = {one.biz_id for one in played if not one.session.waits}
    return sorted(one.at - _received(one.decision) for one in arrived if one.decision.biz_id in prompt)


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which `share` (0 to 1) of the sorted `values` lie; 0 when there are none."""
    return values[min(int(len(values) * share), len(values) - 1)] if values else 0.0


def _received(decision: Decision) -> float:
    return datetime.fromisoformat(decision.received_at).timestamp()
