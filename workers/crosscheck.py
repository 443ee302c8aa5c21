"""Whether a callback and GetResult's answer say the same."""

from collections.abc import Iterator
from math import isclose

from workers.callback import Callback, LivenessResult, VerifyResult, is_final

Fact = tuple[str, str | float | None]


def differences(callback: Callback, result: Callback) -> tuple[str, ...]:
    """Dotted paths of what the two say differently, in the order of the payload; no values.

    Compared is what both say and what a decision rests on: not the counters and times, and nothing while either says
    that the flow goes on. `81.2`, `"81.2"` and `81.20` are the same number.
    """
    if not (is_final(callback.status) and is_final(result.status)):
        return ()
    said = dict(_facts(result))
    return tuple(path for path, value in _facts(callback) if not _same(value, said.get(path)))


def _same(one: str | float | None, other: str | float | None) -> bool:
    if one is None or other is None:
        return True
    if isinstance(one, float) and isinstance(other, float):
        return isclose(one, other, rel_tol=1e-9, abs_tol=1e-9)
    return one == other


def _facts(payload: Callback) -> Iterator[Fact]:
    yield "status", payload.status
    yield "fail_reason", payload.fail_reason
    yield "biz_info.biz_id", payload.biz_id
    yield "biz_info.biz_no", payload.biz_info.biz_no
    if payload.liveness_result is not None:
        yield from _liveness_facts(payload.liveness_result)
    if payload.verify_result is not None:
        yield from _verify_facts(payload.verify_result)
    yield "multifaces_tag", payload.multifaces_tag


def _liveness_facts(liveness: LivenessResult) -> Iterator[Fact]:
    yield "liveness_result.result", liveness.result
    yield "liveness_result.procedure_type", liveness.procedure_type
    scores = liveness.face_genuineness
    if scores is not None:
        for name in type(scores).model_fields:
            yield f"liveness_result.face_genuineness.{name}", getattr(scores, name)


def _verify_facts(verify: VerifyResult) -> Iterator[Fact]:
    yield "verify_result.error_message", verify.error_message or ""
    for name, ref in verify.refs.items():
        yield f"verify_result.{name}.confidence", ref.confidence
        for rate, threshold in ref.thresholds.items():
            yield f"verify_result.{name}.thresholds.{rate}", threshold
