"""What can be found in a payload: small rules, each yielding its findings."""

from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from shared.events.decision import ReasonCode
from workers.decisioning.policy import Faces, Policy, Scores
from workers.faceid.payload import Callback, FaceGenuineness, LivenessResult, ResultRef, is_final


class Finding(NamedTuple):
    """A reason before the policy says what it asks for."""

    code: ReasonCode
    field: str
    value: float | str | None = None
    limit: float | tuple[float, float] | None = None


Rule = Callable[[Callback, Policy], Iterator[Finding]]

_GENUINENESS: Final = "liveness_result.face_genuineness"
_TEXT_LIMIT: Final = 64
_ENDED: Final = {
    "CANCELLED": ReasonCode.FLOW_CANCELLED,
    "TIMEOUT": ReasonCode.FLOW_TIMEOUT,
    "FAILED": ReasonCode.FLOW_FAILED,
    "WEBRTC_UNSUPPORTED": ReasonCode.WEBRTC_UNSUPPORTED,
}
_ERRORS: Final = {
    "NO_FACE_FOUND": ReasonCode.NO_FACE_FOUND,
    "DATA_SOURCE_ERROR": ReasonCode.DATA_SOURCE_ERROR,
    "INTERNAL_ERROR": ReasonCode.VENDOR_INTERNAL_ERROR,
}
_ATTACKS: Final = (
    (ReasonCode.ATTACK_SYNTHETIC_FACE, "synthetic_face_confidence", "synthetic_face_threshold"),
    (ReasonCode.ATTACK_MASK, "mask_confidence", "mask_threshold"),
    (ReasonCode.ATTACK_SCREEN_REPLAY, "screen_replay_confidence", "screen_replay_threshold"),
)
_DECIDING: Final = (
    "liveness_result.result",
    _GENUINENESS,
    "verify_result.error_message",
    "verify_result.result_ref",
    "multifaces_tag",
)
_WHOLES: Final = ("liveness_result", "verify_result")


def findings(payload: Callback, policy: Policy) -> Iterator[Finding]:
    """All that a payload says for or against the person.

    Only status OK, which means that the flow ended normally and not that the user passed (official page, Callbacks),
    gives the other parts a meaning.
    """
    if payload.status != "OK":
        yield _flow(payload)
        return
    for rule in _RULES:
        yield from rule(payload, policy)


def _flow(payload: Callback) -> Finding:
    status = payload.status
    if status is None or not is_final(status):
        return _incomplete("status", status)
    if status not in _ENDED:
        return Finding(ReasonCode.UNKNOWN_STATUS, "status", status[:_TEXT_LIMIT])
    if payload.fail_reason:
        return Finding(_ENDED[status], "fail_reason", payload.fail_reason[:_TEXT_LIMIT])
    return Finding(_ENDED[status], "status", status)


def _incomplete(field: str, value: str | None = None) -> Finding:
    return Finding(ReasonCode.EVIDENCE_INCOMPLETE, field, value and value[:_TEXT_LIMIT])


def _liveness(payload: Callback, _policy: Policy) -> Iterator[Finding]:
    liveness = payload.liveness_result
    if liveness is None:
        yield _incomplete("liveness_result")
    elif liveness.result == "FAIL":
        yield Finding(ReasonCode.LIVENESS_FAILED, "liveness_result.result", "FAIL")
    elif liveness.result != "PASS":
        yield _incomplete("liveness_result.result", liveness.result)


def _attacks(payload: Callback, policy: Policy) -> Iterator[Finding]:
    """Always judged here: with fmp_mode=1 the vendor leaves the spoof scores out of the liveness result."""
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
    limit = max(0.0, _moved(limit, -rules.margin))
    return Finding(code, f"{_GENUINENESS}.{confidence}", score, limit) if score > limit else None


def _comparison(payload: Callback, policy: Policy) -> Iterator[Finding]:
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
    """The vendor compares only after a passed check, so that nothing is missing from a failed one."""
    result = liveness.result if liveness else None
    if not policy.faces.liveness_only and result != "FAIL":
        yield _incomplete("verify_result")
    elif policy.faces.liveness_only and result == "PASS":
        yield Finding(ReasonCode.LIVENESS_ONLY, "verify_result")


def _error(message: str) -> Finding:
    code = _ERRORS.get(message, ReasonCode.EVIDENCE_INCOMPLETE)
    return Finding(code, "verify_result.error_message", message[:_TEXT_LIMIT])


def _face(field: str, ref: ResultRef, faces: Faces) -> Finding:
    """One comparison against the thresholds that came with it; a threshold of 0, which all would reach, is none."""
    match, review = ref.thresholds.get(faces.approve_rate), ref.thresholds.get(faces.review_rate)
    if ref.confidence is None:
        return _incomplete(f"{field}.confidence")
    if not match or not review:
        return _incomplete(f"{field}.thresholds.{faces.review_rate if match else faces.approve_rate}")
    if review > match:
        return _incomplete(f"{field}.thresholds")
    return _compared(f"{field}.confidence", ref.confidence, _moved(match, faces.margin), _moved(review, faces.margin))


def _moved(threshold: float, margin: float) -> float:
    """A threshold with a margin, less the noise of adding floats: 0.8 less 0.1 is 0.7."""
    return round(threshold + margin, 9) if margin else threshold


def _compared(field: str, confidence: float, match: float, review: float) -> Finding:
    if confidence >= match:
        return Finding(ReasonCode.FACE_MATCHED, field, confidence, match)
    if confidence < review:
        return Finding(ReasonCode.FACE_BELOW_THRESHOLD, field, confidence, review)
    return Finding(ReasonCode.FACE_BETWEEN_THRESHOLDS, field, confidence, (review, match))


def _several_faces(payload: Callback, _policy: Policy) -> Iterator[Finding]:
    tag = payload.multifaces_tag
    if tag is not None and tag != "0":
        yield Finding(ReasonCode.MULTIPLE_FACES, "multifaces_tag", tag[:_TEXT_LIMIT])


def _unreadable(payload: Callback, _policy: Policy) -> Iterator[Finding]:
    """What a verdict would have rested on, had it been readable; a counter or a time does not matter."""
    for path in payload.unreadable:
        if path in _WHOLES or path.startswith(_DECIDING):
            yield _incomplete(path)


_RULES: Final[tuple[Rule, ...]] = (_liveness, _attacks, _comparison, _several_faces, _unreadable)
