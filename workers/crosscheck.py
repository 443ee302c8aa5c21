"""Whether a callback and GetResult's answer say the same."""

from collections.abc import Iterable, Iterator
from hashlib import sha256
from math import isclose
from typing import Final

from pydantic import BaseModel

from workers.callback import Callback, is_final

_NO_EVIDENCE: Final = frozenset({"biz_extra_data", "details", "verify_time", "request_id", "time_used", "unreadable"})


def differences(callback: Callback, result: Callback) -> tuple[str, ...]:
    """Dotted paths of what the two say differently, in the order of the payload; no values.

    Compared is what both say and what a decision rests on: not the counters and times, and nothing while either says
    that the flow goes on. `81.2`, `"81.2"` and `81.20` are the same number.
    """
    if not (is_final(callback.status) and is_final(result.status)):
        return ()
    return tuple(".".join(path).replace("verify_result.refs.", "verify_result.") for path in _apart(callback, result))


def gist(callback: Callback) -> str:
    """What a callback says, in 16 hex digits: the same for two that `differences` finds nothing between.

    But for what only one of them says, which here makes a difference.
    """
    return sha256(",".join(_said(vars(callback).items())).encode()).hexdigest()[:16]


def _said(parts: Iterable[tuple[str, object]]) -> Iterator[str]:
    for name, part in parts:
        if part is None or name in _NO_EVIDENCE:
            continue
        if isinstance(part, float):
            yield f"{name}={part:.9g}"
        elif isinstance(part, BaseModel):
            yield from (name, "{", *_said(vars(part).items()), "}")
        elif isinstance(part, dict):
            yield from (name, "{", *_said(sorted(part.items())), "}")
        else:
            yield f"{name}={part!r}"


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
