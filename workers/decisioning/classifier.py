"""The third stage's judgement: from the evidence of a case and a policy to a verdict with all its reasons."""

from collections.abc import Iterator
from typing import Final, NamedTuple

from shared.events.decision import Effect, Face, Genuineness, Liveness, Outcome, Reason, ReasonCode
from workers.decisioning.crosscheck import differences
from workers.decisioning.policy import Policy
from workers.decisioning.rules import Finding, findings
from workers.faceid.payload import BizInfo, Callback, ResultRef, is_final


class Evidence(NamedTuple):
    """What is known of a case when it is decided."""

    callback: Callback | None
    """The signed callback; None when only a hint came."""
    result: Callback | None
    """GetResult's answer."""
    refusal: str | None = None
    """Why there is no answer, as an error code: RESULT_NOT_FOUND, DATA_DESTROYED, BUDGET_SPENT, ..."""
    reconcile: bool = True
    """False where the callback alone is trusted by setting, so that a missing answer is no finding."""


class Verdict(NamedTuple):
    """The outcome with everything that it rests on."""

    outcome: Outcome
    reasons: tuple[Reason, ...]
    reconciled: bool
    status: str | None
    liveness: Liveness | None
    genuineness: Genuineness | None
    faces: tuple[Face, ...]
    biz_no: str | None
    biz_extra_data: str | None


def classify(evidence: Evidence, policy: Policy) -> Verdict:
    """The verdict on a case: all reasons in the order of `ReasonCode`, and the outcome that the strongest effect gives.

    GetResult's answer is judged where it says how the flow ended, else the signed callback. The same evidence and
    policy give the same verdict.
    """
    payload, reconciled = _judged(evidence)
    found = [*findings(payload, policy)] if payload else [_nothing(evidence.refusal)]
    reasons = _reasons([*found, *_standing(evidence, reconciled)], policy)
    info = _info(evidence)
    return Verdict(
        outcome=_outcome(reasons),
        reasons=reasons,
        reconciled=reconciled,
        status=payload.status if payload else None,
        liveness=_liveness(payload) if payload else None,
        genuineness=_genuineness(payload) if payload else None,
        faces=_faces(payload) if payload else (),
        biz_no=info.biz_no if info else None,
        biz_extra_data=info.biz_extra_data if info else None,
    )


def _judged(evidence: Evidence) -> tuple[Callback | None, bool]:
    """What is judged, and whether that is GetResult's answer."""
    result, callback = evidence.result, evidence.callback
    if result and (is_final(result.status) or not callback):
        return result, True
    return callback, False


def _standing(evidence: Evidence, reconciled: bool) -> Iterator[Finding]:
    """How well the evidence is founded."""
    if evidence.callback is None:
        return
    if reconciled and evidence.result:
        paths = differences(evidence.callback, evidence.result)
        if paths:
            yield Finding(ReasonCode.EVIDENCE_MISMATCH, ", ".join(paths))
    elif evidence.reconcile:
        yield Finding(ReasonCode.NOT_RECONCILED, "get_result", _why_not(evidence))


def _nothing(refusal: str | None) -> Finding:
    code = ReasonCode.VENDOR_INTERNAL_ERROR if refusal == "INTERNAL_ERROR" else ReasonCode.EVIDENCE_LOST
    return Finding(code, "get_result", refusal)


def _why_not(evidence: Evidence) -> str | None:
    return evidence.result.status if evidence.result else evidence.refusal


def _reasons(found: list[Finding], policy: Policy) -> tuple[Reason, ...]:
    ordered = sorted(dict.fromkeys(found), key=lambda finding: _ORDER[finding.code])
    return tuple(Reason(*finding, effect=policy.effects.of(finding.code)) for finding in ordered)


def _outcome(reasons: tuple[Reason, ...]) -> Outcome:
    effects = {reason.effect for reason in reasons}
    return next(outcome for effect, outcome in _BY_PRECEDENCE.items() if effect in effects)


def _info(evidence: Evidence) -> BizInfo | None:
    """What the customer gave the vendor to be sent back; the callback always echoes it."""
    payload = evidence.callback or evidence.result
    return payload.biz_info if payload else None


def _liveness(payload: Callback) -> Liveness | None:
    found = payload.liveness_result
    if found is None:
        return None
    return Liveness(result=found.result, procedure_type=found.procedure_type, details=found.details)


def _genuineness(payload: Callback) -> Genuineness | None:
    scores = payload.liveness_result.face_genuineness if payload.liveness_result else None
    if scores is None:
        return None
    return Genuineness(**vars(scores))


def _faces(payload: Callback) -> tuple[Face, ...]:
    refs = payload.verify_result.refs if payload.verify_result else {}
    return tuple(_face(name, ref) for name, ref in refs.items())


def _face(name: str, ref: ResultRef) -> Face:
    thresholds = {rate: threshold for rate, threshold in ref.thresholds.items() if threshold is not None}
    return Face(ref=name, confidence=ref.confidence, thresholds=thresholds)


_ORDER: Final = {code: position for position, code in enumerate(ReasonCode)}
_BY_PRECEDENCE: Final = {
    Effect.REJECT: Outcome.REJECTED,
    Effect.UNDETERMINED: Outcome.UNDETERMINED,
    Effect.INCOMPLETE: Outcome.INCOMPLETE,
    Effect.REVIEW: Outcome.REVIEW,
    Effect.APPROVE: Outcome.APPROVED,
}
