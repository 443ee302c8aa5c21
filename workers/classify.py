"""The third stage's judgement: from the evidence of a case and a policy to a verdict with all its reasons."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

from shared.decision import (
    Decision,
    Effect,
    Face,
    Genuineness,
    Liveness,
    Outcome,
    PolicyRef,
    Reason,
    ReasonCode,
    Score,
    timestamp,
)
from workers.callback import Callback, ResultRef, is_final
from workers.crosscheck import differences
from workers.policy import Policy
from workers.rules import Finding, by_number, findings


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known of a case when it is decided."""

    callback: Callback | None
    """The signed callback; None when only a hint came."""
    result: Callback | None
    """GetResult's answer."""
    refusal: str | None = None
    """Why there is no answer, as an error code: RESULT_NOT_FOUND, DATA_DESTROYED, BUDGET_SPENT, ..."""
    reconcile: bool = True
    """False where the callback alone is trusted by setting, so that a missing answer is no finding."""


@dataclass(frozen=True, slots=True)
class Verdict:
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

    def decision(  # noqa: PLR0913 - one argument for each fact of a case
        self,
        policy: Policy,
        *,
        account: str,
        biz_id: str,
        channels: tuple[Literal["notify", "return"], ...],
        received_at: float,
        decided_at: float,
        revision: int = 1,
        supersedes: str | None = None,
    ) -> Decision:
        """The verdict as the decision on a case; times are in Unix seconds, `supersedes` is a decision's id."""
        return Decision(
            biz_id=biz_id,
            biz_no=self.biz_no,
            biz_extra_data=self.biz_extra_data,
            account=account,
            outcome=self.outcome,
            reasons=self.reasons,
            policy=PolicyRef(version=policy.version, digest=policy.digest),
            reconciled=self.reconciled,
            channels=channels,
            revision=revision,
            supersedes=supersedes,
            status=self.status,
            liveness=self.liveness,
            genuineness=self.genuineness,
            faces=self.faces,
            received_at=timestamp(received_at),
            decided_at=timestamp(decided_at),
        )


def classify(evidence: Evidence, policy: Policy) -> Verdict:
    """The verdict on a case: all reasons in the order of `ReasonCode`, and the outcome that the strongest effect gives.

    GetResult's answer is judged where it says how the flow ended, else the signed callback. The same evidence and
    policy give the same verdict.
    """
    payload, reconciled = _judged(evidence)
    found = [*findings(payload, policy)] if payload else [_nothing(evidence.refusal)]
    reasons = _reasons([*found, *_standing(evidence, reconciled)], policy)
    return Verdict(
        outcome=_outcome(reasons),
        reasons=reasons,
        reconciled=reconciled,
        status=payload.status if payload else None,
        liveness=_liveness(payload) if payload else None,
        genuineness=_genuineness(payload) if payload else None,
        faces=_faces(payload) if payload else (),
        biz_no=_echoed("biz_no", evidence),
        biz_extra_data=_echoed("biz_extra_data", evidence),
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
    return tuple(
        Reason(code=code, field=field, value=value, limit=limit, effect=policy.effects.of(code))
        for code, field, value, limit in ordered
    )


def _outcome(reasons: tuple[Reason, ...]) -> Outcome:
    effects = {reason.effect for reason in reasons}
    return next(outcome for effect, outcome in _BY_PRECEDENCE.items() if effect in effects)


def _echoed(name: Literal["biz_no", "biz_extra_data"], evidence: Evidence) -> str | None:
    """What the customer gave the vendor to be sent back; the callback is signed, so that its echo goes first."""
    echoes = [getattr(payload.biz_info, name) for payload in (evidence.callback, evidence.result) if payload]
    return next((echo for echo in echoes if echo is not None), None)


def _liveness(payload: Callback) -> Liveness | None:
    found = payload.liveness_result
    if found is None:
        return None
    return Liveness(result=found.result, procedure_type=found.procedure_type, details=found.details)


def _genuineness(payload: Callback) -> Genuineness | None:
    scores = payload.liveness_result.face_genuineness if payload.liveness_result else None
    if scores is None:
        return None
    return Genuineness(
        synthetic_face=Score(confidence=scores.synthetic_face_confidence, threshold=scores.synthetic_face_threshold),
        mask=Score(confidence=scores.mask_confidence, threshold=scores.mask_threshold),
        screen_replay=Score(confidence=scores.screen_replay_confidence, threshold=scores.screen_replay_threshold),
        face_replaced=scores.face_replaced,
    )


def _faces(payload: Callback) -> tuple[Face, ...]:
    refs = payload.verify_result.refs if payload.verify_result else {}
    return tuple(_face(name, refs[name]) for name in by_number(refs))


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
