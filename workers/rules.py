"""What can be found in a payload: small rules, each yielding its findings."""

from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from shared.decision import ReasonCode
from workers.callback import Callback, FaceGenuineness, LivenessResult, ResultRef, VerifyResult, is_final
from workers.policy import Faces, Policy


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
_ATTACKS: Final = {
    "synthetic_face": ReasonCode.ATTACK_SYNTHETIC_FACE,
    "mask": ReasonCode.ATTACK_MASK,
    "screen_replay": ReasonCode.ATTACK_SCREEN_REPLAY,
}
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
    for kind in _ATTACKS:
        yield from _attack(kind, scores, policy)
    if scores.face_replaced:
        yield Finding(ReasonCode.ATTACK_FACE_REPLACED, f"{_GENUINENESS}.face_replaced", scores.face_replaced, 0.0)


def _attack(kind: str, scores: FaceGenuineness, policy: Policy) -> Iterator[Finding]:
    confidence: float | None = getattr(scores, f"{kind}_confidence")
    threshold: float | None = getattr(scores, f"{kind}_threshold")
    field = f"{_GENUINENESS}.{kind}_{'threshold' if threshold is None and confidence is not None else 'confidence'}"
    if confidence is None or threshold is None:
        if policy.genuineness.required:
            yield Finding(ReasonCode.GENUINENESS_MISSING, field)
        return
    limit = max(0.0, round(threshold - policy.genuineness.margin, 9))
    if confidence > limit:
        yield Finding(_ATTACKS[kind], field, confidence, limit)


def _comparison(payload: Callback, policy: Policy) -> Iterator[Finding]:
    verify = payload.verify_result
    if verify is None:
        yield from _no_comparison(payload.liveness_result, policy)
        return
    if verify.error_message:
        yield _error(verify.error_message)
    refs = _required(verify, policy.faces)
    if not refs and not verify.error_message:
        yield _incomplete("verify_result")
    for name, ref in refs.items():
        if ref is not None:
            yield _face(f"verify_result.{name}", ref, policy.faces)
        elif not verify.error_message:
            yield _incomplete(f"verify_result.{name}")


def _no_comparison(liveness: LivenessResult | None, policy: Policy) -> Iterator[Finding]:
    """The vendor compares only after a passed check, so that nothing is missing from a failed one."""
    if policy.faces.liveness_only:
        yield Finding(ReasonCode.LIVENESS_ONLY, "verify_result")
    elif liveness is None or liveness.result != "FAIL":
        yield _incomplete("verify_result")


def _error(message: str) -> Finding:
    code = _ERRORS.get(message, ReasonCode.EVIDENCE_INCOMPLETE)
    return Finding(code, "verify_result.error_message", message[:_TEXT_LIMIT])


def _required(verify: VerifyResult, faces: Faces) -> dict[str, ResultRef | None]:
    names = by_number(verify.refs) if faces.required == "all" else faces.required
    return {name: verify.refs.get(name) for name in names}


def by_number(refs: dict[str, ResultRef]) -> list[str]:
    """The names of the comparisons: `result_ref2` before `result_ref10`."""
    return sorted(refs, key=lambda name: int(name.removeprefix("result_ref")))


def _face(field: str, ref: ResultRef, faces: Faces) -> Finding:
    """One comparison against the thresholds that came with it; a threshold of 0, which all would reach, is none."""
    match, review = ref.thresholds.get(faces.approve_rate), ref.thresholds.get(faces.review_rate)
    if ref.confidence is None:
        return _incomplete(f"{field}.confidence")
    if not match or not review:
        return _incomplete(f"{field}.thresholds.{faces.review_rate if match else faces.approve_rate}")
    if review > match:
        return _incomplete(f"{field}.thresholds")
    match, review = round(match + faces.margin, 9), round(review + faces.margin, 9)
    return _compared(f"{field}.confidence", ref.confidence, match, review)


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
