"""An alert of every kind, made by the code that raises real ones, except for those that Lua scripts write."""

from collections import Counter
from collections.abc import Iterator
from typing import Final

from deploy.contract.golden_decisions import ACCOUNT, BORN, decisions, superseding
from shared.events.alert import Alert, AlertKind
from shared.ledger.counters import Counted
from shared.messaging.memory import Memory
from workers.decisioning.decision_builder import alerts as alerts_of
from workers.maintenance.alert_rules import AlertLimits, Measurements, RateThreshold, alerts_for

_LIMITS: Final = AlertLimits(
    600.0, RateThreshold(0.2, 10), RateThreshold(0.05, 20), dead_letters=10, backlog_age=300.0, memory_share=0.75
)
_COUNTS: Final[Counter[Counted]] = Counter({"attacked": 31, "clean": 59, "bad_signature": 52, "verified": 90})
_MEASURED: Final = Measurements(
    BORN + 90,
    {ACCOUNT: _COUNTS},
    12,
    Counter({"reconcile.error": 12}),
    2,
    BORN - 222.5,
    Memory(845_152_256, 1_073_741_824),
    BORN + 90 - 25 * 86_400,
    {"worker-1@a, pid 7": -86_400.2, "worker-2@b, pid 7": 0.1},
)


def alerts() -> dict[AlertKind, Alert]:
    """The alerts by kind."""
    return {alert.kind: alert for alert in _raised()}


def _raised() -> Iterator[Alert]:
    decided = decisions()
    for name in ("data_source_error", "not_reconciled"):
        yield from alerts_of(decided[name])
    yield from superseding().alerts
    yield from alerts_for(_MEASURED, _LIMITS)
    biz_id = decided["evidence_mismatch"].biz_id
    yield Alert.of(AlertKind.EVIDENCE_CONFLICT, ACCOUNT, BORN + 90, biz_id, cause="notify")
    yield Alert.of(AlertKind.BREAKER_OPENED, ACCOUNT, BORN + 90, cause="AUTHENTICATION_ERROR")
    yield Alert.of(AlertKind.BREAKER_CLOSED, ACCOUNT, BORN + 120, cause="answered")
    yield Alert.of(AlertKind.LEDGER_LOST, None, BORN + 90)
