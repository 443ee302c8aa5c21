"""Whether a callback and GetResult's answer say the same."""

from collections.abc import Iterator
from hashlib import sha256
from math import isclose
from operator import attrgetter
from typing import Final

from pydantic import BaseModel
from pydantic_core import to_json

from workers.faceid.payload import Callback, FaceGenuineness, is_final

_FLOW: Final = attrgetter("status", "fail_reason", "multifaces_tag", "biz_info.biz_id", "biz_info.biz_no")
_LIVENESS: Final = attrgetter("result", "procedure_type")
_SCORES: Final = attrgetter(*FaceGenuineness.model_fields)
_NO_EVIDENCE: Final = frozenset({"biz_extra_data", "details", "verify_time", "request_id", "time_used", "unreadable"})


def differences(callback: Callback, result: Callback) -> tuple[str, ...]:
    """Dotted paths of what the two say differently, in the order of the payload; no values.

    Compared is what both say and what a decision rests on: not the counters and times, and nothing while either says
    that the flow goes on. `81.2`, `"81.2"` and `81.20` are the same number.
    """
    if not (is_final(callback.status) and is_final(result.status)) or _said(callback) == _said(result):
        return ()
    return tuple(".".join(path).replace("verify_result.refs.", "verify_result.") for path in _apart(callback, result))


def fingerprint(callback: Callback) -> str:
    """What a callback says, in 16 hex digits: the same for two that `differences` finds nothing between.

    But for what only one of them says, and for the last digits of a number, which here make a difference.
    """
    return sha256(to_json(_said(callback))).hexdigest()[:16]


def _said(callback: Callback) -> tuple[object, ...]:
    """What a decision rests on."""
    liveness, verify = callback.liveness_result, callback.verify_result
    return (
        _FLOW(callback),
        liveness and _LIVENESS(liveness),
        liveness and liveness.face_genuineness and _SCORES(liveness.face_genuineness),
        verify and verify.error_message,
        verify and [(name, ref.confidence, _known(ref.thresholds)) for name, ref in verify.refs.items()],
    )


def _known(thresholds: dict[str, float | None]) -> list[tuple[str, float | None]]:
    return sorted(item for item in thresholds.items() if item[1] is not None)


def _apart(one: object, other: object) -> Iterator[tuple[str, ...]]:
    if one == other or one is None or other is None:
        return
    parts, others = _parts(one), _parts(other)
    if parts is None or others is None:
        if not _same_number(one, other):
            yield ()
        return
    for name in parts:
        if name in others and name not in _NO_EVIDENCE:
            for path in _apart(parts[name], others[name]):
                yield (name, *path)


def _parts(value: object) -> dict[str, object] | None:
    if isinstance(value, BaseModel):
        return vars(value)
    return value if isinstance(value, dict) else None


def _same_number(one: object, other: object) -> bool:
    return isinstance(one, float) and isinstance(other, float) and isclose(one, other, rel_tol=1e-9, abs_tol=1e-9)
