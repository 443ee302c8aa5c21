"""From a verdict to the decision that is committed, and the alerts that follow from it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final, Self

from shared.events.alert import Alert, AlertKind
from shared.events.decision import Decision, ReasonCode, timestamp
from shared.messaging.envelope import Envelope
from workers.decisioning.classifier import Verdict
from workers.decisioning.evidence import Reconciled
from workers.decisioning.policy import Policy

ATTACKS: Final = frozenset(code for code in ReasonCode if code.startswith("ATTACK_"))
SPENT: Final = "BUDGET_SPENT"
"""Stands as the value of a finding where the reads granted for the case brought no result."""


@dataclass(frozen=True, slots=True)
class Decided:
    """What `classify` hands to `publish`."""

    decision: Decision

    @property
    def biz_id(self) -> str:
        """The case."""
        return self.decision.biz_id

    def dump(self) -> bytes:
        """As JSON, the same bytes for the same decision."""
        return self.decision.model_dump_json().encode()

    @classmethod
    def load(cls, body: bytes) -> Self:
        """What `dump` wrote."""
        return cls(Decision.model_validate_json(body))


def decide(envelope: Envelope, reconciled: Reconciled, verdict: Verdict, policy: Policy, now: float) -> Decision:
    """The first revision of the decision on a case; `now` in unix seconds."""
    return Decision(
        biz_id=reconciled.biz_id,
        biz_no=verdict.biz_no,
        biz_extra_data=verdict.biz_extra_data,
        account=envelope.account,
        outcome=verdict.outcome,
        reasons=verdict.reasons,
        policy=policy.ref,
        reconciled=verdict.reconciled,
        channels=reconciled.channels,
        revision=1,
        supersedes=None,
        status=verdict.status,
        liveness=verdict.liveness,
        genuineness=verdict.genuineness,
        faces=verdict.faces,
        received_at=timestamp(envelope.received_at),
        decided_at=timestamp(now),
    )


def alerts(decision: Decision) -> list[Alert]:
    """What a person has to know about beside the decision; the same alerts for the same decision."""
    kinds = []
    if any(reason.code is ReasonCode.DATA_SOURCE_ERROR for reason in decision.reasons):
        kinds.append(AlertKind.DATA_SOURCE_ERROR)
    if any(reason.value == SPENT for reason in decision.reasons if reason.field == "get_result"):
        kinds.append(AlertKind.BUDGET_SPENT)
    if not kinds:
        return []
    at = datetime.fromisoformat(decision.decided_at).timestamp()
    return [Alert.of(kind, decision.account, at, decision.biz_id) for kind in kinds]


def provisional(decision: Decision) -> bool:
    """Whether it was made without GetResult's answer though that was wanted: better evidence may supersede it."""
    return any(reason.code is ReasonCode.NOT_RECONCILED for reason in decision.reasons)


def attacked(decision: Decision) -> bool:
    """Whether it names an attack."""
    return any(reason.code in ATTACKS for reason in decision.reasons)
