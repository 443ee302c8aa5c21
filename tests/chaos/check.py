"""The rules that must hold for a history, whatever faults were injected. Pure."""

from collections.abc import Callable, Iterator
from typing import Final

from tests.chaos import check_alerts, check_counts, check_decisions
from tests.chaos.history import History
from tests.chaos.violation import Violation

RULES: Final[tuple[Callable[[History], Iterator[Violation]], ...]] = (
    check_decisions.lost,
    check_decisions.stranded,
    check_decisions.decided_twice,
    check_decisions.message_twice,
    check_decisions.no_evidence,
    check_decisions.wrong_outcome,
    check_decisions.not_reconciled,
    check_counts.over_budget,
    check_counts.read_uncounted,
    check_counts.arrivals,
    check_counts.committed_and_published,
    check_alerts.alert_twice,
    check_alerts.alerts_of_cases,
    check_alerts.alerts_of_breaker,
    check_alerts.alerts_of_monitor,
    check_counts.unexplained_dead_letter,
    check_counts.forged_unaccounted,
    check_counts.pending,
    check_counts.process_died,
)


def check(history: History) -> list[Violation]:
    """Every violation, in the order of the rules; none when every promise was kept."""
    return [violation for rule in RULES for violation in rule(history)]
