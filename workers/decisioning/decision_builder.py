"""Build decisions from verdicts: the first revision, a revision that supersedes another, and the alerts of each."""

from datetime import datetime
from typing import Final

from shared.events.alert import Alert, AlertKind
from shared.events.decision import Decision, Outcome, ReasonCode, timestamp
from shared.ledger.superseding import Superseding
from shared.messaging.envelope import Envelope
from workers.decisioning.classifier import Verdict
from workers.decisioning.decided_case import DecidedCase
from workers.decisioning.evidence import ReconciledCase
from workers.decisioning.policy import Policy

BUDGET_SPENT: Final = "BUDGET_SPENT"
"""Why there is no answer of GetResult when the reads allowed for the case have brought none: the value of a reason."""
PIPELINE_USER: Final = "faceid"
"""Who supersedes a decision when no operator asked for it."""
LATE_ANSWER_NOTE: Final = "GetResult's answer came"
"""The note on the case of a revision that is based on a late answer."""
CONTRADICTION_NOTE: Final = "a signed callback contradicts the approval"
"""The note of a revision that takes an approval back."""
_ATTACKS: Final = frozenset(code for code in ReasonCode if code.startswith("ATTACK_"))


AnyDecision = Decision | DecidedCase


def decide(envelope: Envelope, reconciled: ReconciledCase, verdict: Verdict, policy: Policy, now: float) -> DecidedCase:
    """The first revision of a case's decision; `now` in unix seconds."""
    return DecidedCase(
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


def supersede(stored: bytes, old: Decision, new: Decision, *, by: str, note: str) -> Superseding:
    """Make `new` the next revision of `old`. `stored` is `old` as the ledger holds it, byte for byte."""
    links = {"revision": old.revision + 1, "supersedes": old.id, "received_at": old.received_at}
    revision = Decision.model_validate(dict(new) | links)  # `model_copy` would keep the cached id
    return Superseding(
        current=stored,
        old=old,
        new=revision,
        provisional=is_provisional(revision),
        by=by,
        note=note,
        alerts=(*_superseded_alerts(old, revision, by), *alerts(revision)),
        old_alerts=tuple(alerts(old)),
    )


def is_provisional(decision: AnyDecision) -> bool:
    """Whether GetResult's answer was wanted and is missing. The pipeline supersedes such a decision when it comes."""
    return any(reason.code is ReasonCode.NOT_RECONCILED for reason in decision.reasons)


def why_supersede(new: AnyDecision, old: AnyDecision) -> str:
    """Why the pipeline itself supersedes `old` by `new`, as a note on the case; empty when `old` stays.

    `new` is based on the answer that `old` lacks, or on a signed callback that contradicts an approval.
    """
    if new.reconciled and is_provisional(old):
        return LATE_ANSWER_NOTE
    return CONTRADICTION_NOTE if old.outcome is Outcome.APPROVED and contradicts(new, old) else ""


def contradicts(new: AnyDecision, old: AnyDecision) -> bool:
    """Whether the evidence of `new` disagrees, and that of `old` did not."""
    return _has_mismatch(new) and not _has_mismatch(old)


def _has_mismatch(decision: AnyDecision) -> bool:
    return any(reason.code is ReasonCode.EVIDENCE_MISMATCH for reason in decision.reasons)


def is_different(new: Decision, old: Decision) -> bool:
    """Whether two decisions differ in their outcome, reasons or evidence. Time and policy alone make no difference."""
    return (new.outcome, new.reasons, new.reconciled) != (old.outcome, old.reasons, old.reconciled)


def has_attack(decision: AnyDecision) -> bool:
    """Whether one of the reasons is an attack."""
    return any(reason.code in _ATTACKS for reason in decision.reasons)


def alerts(decision: AnyDecision) -> list[Alert]:
    """The alerts that go out beside a decision; the same decision gives the same alerts."""
    kinds = []
    if any(reason.code is ReasonCode.DATA_SOURCE_ERROR for reason in decision.reasons):
        kinds.append(AlertKind.DATA_SOURCE_ERROR)
    if any(reason.value == BUDGET_SPENT for reason in decision.reasons if reason.field == "get_result"):
        kinds.append(AlertKind.BUDGET_SPENT)
    if not kinds:
        return []
    at = datetime.fromisoformat(decision.decided_at).timestamp()
    return [Alert.of(kind, decision.account, at, decision.biz_id) for kind in kinds]


def _superseded_alerts(old: Decision, new: Decision, by: str) -> list[Alert]:
    """One alert when the outcome changes, for consumers that have acted on the old one."""
    if old.outcome == new.outcome:
        return []
    return [
        Alert.of(
            AlertKind.DECISION_SUPERSEDED,
            new.account,
            datetime.fromisoformat(new.decided_at).timestamp(),
            new.biz_id,
            old_outcome=old.outcome,
            new_outcome=new.outcome,
            revision=new.revision,
            by=by,
        )
    ]
