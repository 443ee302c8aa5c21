"""Classify the evidence of a case by a policy: the outcome, and all reasons for it."""

from collections.abc import Iterator
from typing import Final, NamedTuple

from shared.events.decision import Effect, Outcome, ReasonCode
from workers.decisioning.decided_case import Face, Liveness, Reason
from workers.decisioning.evidence import Evidence, combined, differences, judged_alike
from workers.decisioning.policy import Policy
from workers.decisioning.rules import Finding, findings
from workers.faceid.payload import BizInfo, FaceGenuineness, Payload, ResultRef, is_final

NOT_STORED: Final = "callbacks_not_stored"
"""What a finding names when signed callbacks differ that are not stored."""


class Verdict(NamedTuple):
    """The outcome, its reasons, and the parts of the evidence that a decision shows."""

    outcome: Outcome
    reasons: tuple[Reason, ...]
    """In the order of `ReasonCode`."""
    reconciled: bool
    """Whether GetResult's answer was classified; False for the signed callback alone."""
    status: str | None
    liveness: Liveness | None
    genuineness: FaceGenuineness | None
    faces: tuple[Face, ...]
    biz_no: str | None
    biz_extra_data: str | None


def classify(evidence: Evidence, policy: Policy) -> Verdict:
    """Classify the evidence of a case; the same evidence and policy give the same verdict.

    GetResult's answer is classified when it says that the flow has ended, else the first signed callback. All other
    evidence is compared with it. The outcome follows from the strongest effect among the reasons.
    """
    payload, reconciled = _select_payload(evidence)
    found = [*_findings(payload, evidence, policy)] if payload else [_missing_evidence(evidence.refusal)]
    if payload:
        found += [*_mismatch(payload, evidence, found, policy), *_not_reconciled(evidence, reconciled)]
    reasons = _reasons(found, policy)
    info = _biz_info(evidence)
    return Verdict(
        outcome=_outcome(reasons),
        reasons=reasons,
        reconciled=reconciled,
        status=payload.status if payload else None,
        liveness=_liveness(payload) if payload else None,
        genuineness=payload.liveness_result.face_genuineness if payload and payload.liveness_result else None,
        faces=_faces(payload) if payload else (),
        biz_no=info.biz_no if info else None,
        biz_extra_data=info.biz_extra_data if info else None,
    )


def _select_payload(evidence: Evidence) -> tuple[Payload | None, bool]:
    """The payload to classify, and whether it is GetResult's answer."""
    result, callback = evidence.result, evidence.callback
    if result and (is_final(result.status) or not callback):
        return result, True
    return callback, False


def _findings(payload: Payload, evidence: Evidence, policy: Policy) -> Iterator[Finding]:
    """The findings in the payload. Without GetResult's answer, a part of what was signed decides nothing."""
    if evidence.result or not evidence.unseen:
        yield from findings(payload, policy)


def _mismatch(payload: Payload, evidence: Evidence, found: list[Finding], policy: Policy) -> Iterator[Finding]:
    """One finding that names everything in signed callbacks that the classified payload contradicts or overlooks."""
    callbacks = (evidence.callback, *evidence.later)
    others = [other for other in callbacks if other is not None and other is not payload and is_final(other.status)]
    paths = [path for other in others for path in _disagreement(payload, other, found, policy)]
    paths += [NOT_STORED] if evidence.unseen else []
    if paths:
        yield Finding(ReasonCode.EVIDENCE_MISMATCH, ", ".join(dict.fromkeys(paths)))


def _disagreement(payload: Payload, callback: Payload, found: list[Finding], policy: Policy) -> Iterator[str]:
    """Paths of what differs, and of what only the callback has and the rules would not approve."""
    yield from differences(callback, payload)
    if judged_alike(callback, payload):
        return
    for finding in findings(combined(payload, callback), policy):
        if finding not in found and policy.effects.of(finding.code) is not Effect.APPROVE:
            yield finding.field


def _not_reconciled(evidence: Evidence, reconciled: bool) -> Iterator[Finding]:
    if evidence.reconcile and not reconciled:
        cause = evidence.result.status if evidence.result else evidence.refusal
        yield Finding(ReasonCode.NOT_RECONCILED, "get_result", cause)


def _missing_evidence(refusal: str | None) -> Finding:
    code = ReasonCode.VENDOR_INTERNAL_ERROR if refusal == "INTERNAL_ERROR" else ReasonCode.EVIDENCE_LOST
    return Finding(code, "get_result", refusal)


def _reasons(found: list[Finding], policy: Policy) -> tuple[Reason, ...]:
    ordered = sorted(dict.fromkeys(found), key=lambda finding: _ORDER[finding.code])
    return tuple(Reason(*finding, policy.effects.of(finding.code)) for finding in ordered)


def _outcome(reasons: tuple[Reason, ...]) -> Outcome:
    return _OUTCOMES[min([reason.effect for reason in reasons], key=_PRECEDENCE.index)]


def _biz_info(evidence: Evidence) -> BizInfo | None:
    """The customer's own ids. Every callback repeats them (FaceID's callback page); GetResult's answer may not."""
    payload = evidence.callback or evidence.result
    return payload.biz_info if payload else None


def _liveness(payload: Payload) -> Liveness | None:
    liveness = payload.liveness_result
    if liveness is None:
        return None
    return Liveness(liveness.result, liveness.procedure_type, liveness.details)


def _faces(payload: Payload) -> tuple[Face, ...]:
    refs = payload.verify_result.refs if payload.verify_result else {}
    return tuple(_face(name, ref) for name, ref in refs.items())


def _face(name: str, ref: ResultRef) -> Face:
    thresholds = {rate: threshold for rate, threshold in ref.thresholds.items() if threshold is not None}
    return Face(name, ref.confidence, thresholds)


_ORDER: Final = {code: position for position, code in enumerate(ReasonCode)}
_OUTCOMES: Final = {  # strongest effect first
    Effect.REJECT: Outcome.REJECTED,
    Effect.UNDETERMINED: Outcome.UNDETERMINED,
    Effect.INCOMPLETE: Outcome.INCOMPLETE,
    Effect.REVIEW: Outcome.REVIEW,
    Effect.APPROVE: Outcome.APPROVED,
}
_PRECEDENCE: Final = [*_OUTCOMES]
