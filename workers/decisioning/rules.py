"""The rules: each yields what it finds in one payload."""

from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from shared.events.decision import ReasonCode
from workers.decisioning.policy import Faces, Policy, Scores
from workers.faceid.payload import FaceGenuineness, LivenessResult, Payload, ResultRef, is_final


class Finding(NamedTuple):
    """A reason without its effect, which the policy adds. The fields are those of `Reason`."""

    code: ReasonCode
    field: str
    value: float | str | None = None
    limit: float | tuple[float, float] | None = None


Rule = Callable[[Payload, Policy], Iterator[Finding]]

_GENUINENESS: Final = "liveness_result.face_genuineness"
_MAX_VALUE: Final = 64
"""Characters of a value that a reason shows."""
_FLOW_CODES: Final = {
    "CANCELLED": ReasonCode.FLOW_CANCELLED,
    "TIMEOUT": ReasonCode.FLOW_TIMEOUT,
    "FAILED": ReasonCode.FLOW_FAILED,
    "WEBRTC_UNSUPPORTED": ReasonCode.WEBRTC_UNSUPPORTED,
}
_COMPARISON_CODES: Final = {
    "NO_FACE_FOUND": ReasonCode.NO_FACE_FOUND,
    "DATA_SOURCE_ERROR": ReasonCode.DATA_SOURCE_ERROR,
    "INTERNAL_ERROR": ReasonCode.VENDOR_INTERNAL_ERROR,
}
_ATTACKS: Final = (
    (ReasonCode.ATTACK_SYNTHETIC_FACE, "synthetic_face_confidence", "synthetic_face_threshold"),
    (ReasonCode.ATTACK_MASK, "mask_confidence", "mask_threshold"),
    (ReasonCode.ATTACK_SCREEN_REPLAY, "screen_replay_confidence", "screen_replay_threshold"),
)
_USED_PARTS: Final = (
    "liveness_result.result",
    _GENUINENESS,
    "verify_result.error_message",
    "verify_result.result_ref",
    "multifaces_tag",
)
"""Paths, or how they begin, of the parts that a rule reads."""
_CONTAINERS: Final = ("liveness_result", "verify_result")
"""Objects that hold such parts."""


def findings(payload: Payload, policy: Policy) -> Iterator[Finding]:
    """Apply all rules to a payload.

    The other parts have a meaning only with status OK. OK says that the flow ended normally, not that the user passed
    (FaceID's callback page).
    """
    if payload.status != "OK":
        yield _flow(payload)
        return
    for rule in _RULES:
        yield from rule(payload, policy)


def _flow(payload: Payload) -> Finding:
    status = payload.status
    if status is None or not is_final(status):
        return _incomplete("status", status)
    if status not in _FLOW_CODES:
        return Finding(ReasonCode.UNKNOWN_STATUS, "status", status[:_MAX_VALUE])
    if payload.fail_reason:
        return Finding(_FLOW_CODES[status], "fail_reason", payload.fail_reason[:_MAX_VALUE])
    return Finding(_FLOW_CODES[status], "status", status)


def _incomplete(field: str, value: str | None = None) -> Finding:
    return Finding(ReasonCode.EVIDENCE_INCOMPLETE, field, value and value[:_MAX_VALUE])


def _liveness(payload: Payload, _policy: Policy) -> Iterator[Finding]:
    liveness = payload.liveness_result
    if liveness is None:
        yield _incomplete("liveness_result")
    elif liveness.result == "FAIL":
        yield Finding(ReasonCode.LIVENESS_FAILED, "liveness_result.result", "FAIL")
    elif liveness.result != "PASS":
        yield _incomplete("liveness_result.result", liveness.result)


def _attacks(payload: Payload, policy: Policy) -> Iterator[Finding]:
    """The spoof scores are compared here in any case: with `fmp_mode=1`, `liveness_result.result` leaves them out
    (FaceID's GetToken page)."""
    if payload.liveness_result is None:
        return
    scores = payload.liveness_result.face_genuineness
    if scores is None:
        if policy.genuineness.required:
            yield Finding(ReasonCode.GENUINENESS_MISSING, _GENUINENESS)
        return
    for code, confidence, threshold in _ATTACKS:
        finding = _attack(code, confidence, threshold, scores, policy.genuineness)
        if finding is not None:
            yield finding
    if scores.face_replaced:
        yield Finding(ReasonCode.ATTACK_FACE_REPLACED, f"{_GENUINENESS}.face_replaced", scores.face_replaced, 0.0)


def _attack(
    code: ReasonCode, confidence: str, threshold: str, scores: FaceGenuineness, rules: Scores
) -> Finding | None:
    score, limit = getattr(scores, confidence), getattr(scores, threshold)
    if score is None or limit is None:
        missing = f"{_GENUINENESS}.{confidence if score is None else threshold}"
        return Finding(ReasonCode.GENUINENESS_MISSING, missing) if rules.required else None
    limit = max(0.0, _with_margin(limit, -rules.margin))
    return Finding(code, f"{_GENUINENESS}.{confidence}", score, limit) if score > limit else None


def _comparison(payload: Payload, policy: Policy) -> Iterator[Finding]:
    verify = payload.verify_result
    if verify is None:
        yield from _no_comparison(payload.liveness_result, policy)
        return
    if verify.error_message:
        yield _error(verify.error_message)
    names = verify.refs if policy.faces.required == "all" else policy.faces.required
    if not names and not verify.error_message:
        yield _incomplete("verify_result")
    for name in names:
        ref = verify.refs.get(name)
        if ref is not None:
            yield _face(f"verify_result.{name}", ref, policy.faces)
        elif not verify.error_message:
            yield _incomplete(f"verify_result.{name}")


def _no_comparison(liveness: LivenessResult | None, policy: Policy) -> Iterator[Finding]:
    """FaceID compares faces only after a passed liveness check, so after a failed one no comparison is missing."""
    result = liveness.result if liveness else None
    if not policy.faces.liveness_only and result != "FAIL":
        yield _incomplete("verify_result")
    elif policy.faces.liveness_only and result == "PASS":
        yield Finding(ReasonCode.LIVENESS_ONLY, "verify_result")


def _error(message: str) -> Finding:
    code = _COMPARISON_CODES.get(message, ReasonCode.EVIDENCE_INCOMPLETE)
    return Finding(code, "verify_result.error_message", message[:_MAX_VALUE])


def _face(field: str, ref: ResultRef, faces: Faces) -> Finding:
    """Compare one face with the thresholds of its own payload. A threshold of 0 counts as missing: all reach it."""
    match, review = ref.thresholds.get(faces.approve_rate), ref.thresholds.get(faces.review_rate)
    if ref.confidence is None:
        return _incomplete(f"{field}.confidence")
    if not match or not review:
        return _incomplete(f"{field}.thresholds.{faces.review_rate if match else faces.approve_rate}")
    if review > match:
        return _incomplete(f"{field}.thresholds")
    match, review = _with_margin(match, faces.margin), _with_margin(review, faces.margin)
    return _compare(f"{field}.confidence", ref.confidence, match, review)


def _with_margin(threshold: float, margin: float) -> float:
    """A threshold plus a margin, rounded to nine digits, because 0.8 - 0.1 is not 0.7 in floats."""
    return round(threshold + margin, 9) if margin else threshold


def _compare(field: str, confidence: float, match: float, review: float) -> Finding:
    if confidence >= match:
        return Finding(ReasonCode.FACE_MATCHED, field, confidence, match)
    if confidence < review:
        return Finding(ReasonCode.FACE_BELOW_THRESHOLD, field, confidence, review)
    return Finding(ReasonCode.FACE_BETWEEN_THRESHOLDS, field, confidence, (review, match))


def _several_faces(payload: Payload, _policy: Policy) -> Iterator[Finding]:
    tag = payload.multifaces_tag
    if tag is not None and tag != "0":
        yield Finding(ReasonCode.MULTIPLE_FACES, "multifaces_tag", tag[:_MAX_VALUE])


def _unreadable(payload: Payload, _policy: Policy) -> Iterator[Finding]:
    """Parts that were removed as invalid and that a rule would have read. Counters and times are not among them."""
    for path in payload.unreadable:
        if path in _CONTAINERS or path.startswith(_USED_PARTS):
            yield _incomplete(path)


_RULES: Final[tuple[Rule, ...]] = (_liveness, _attacks, _comparison, _several_faces, _unreadable)
