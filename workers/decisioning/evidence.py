"""The evidence of a case: its signed callbacks and GetResult's answer, and whether they agree."""

import json
from collections.abc import Iterator
from hashlib import sha256
from math import isclose
from operator import attrgetter
from typing import Any, Final, NamedTuple, Self

from msgspec import Struct, structs
from pydantic_core import to_json

from workers.faceid.odd_json import NotJson
from workers.faceid.payload import FaceGenuineness, InvalidPayload, Payload, is_final
from workers.faceid.verification import VerifiedArrival

_FLOW: Final = attrgetter("status", "fail_reason", "multifaces_tag", "biz_info.biz_id", "biz_info.biz_no")
_LIVENESS: Final = attrgetter("result", "procedure_type")
_SCORES: Final = attrgetter(*FaceGenuineness.__struct_fields__)
_JUDGED: Final = attrgetter("status", "fail_reason", "multifaces_tag", "unreadable", "liveness_result")
_COMPARISON: Final = attrgetter("error_message", "refs")
_NOT_COMPARED: Final = frozenset({"biz_extra_data", "details", "verify_time", "request_id", "time_used", "unreadable"})
"""Fields that no decision depends on."""


class Evidence(NamedTuple):
    """What `classify` decides on."""

    callback: Payload | None
    """The signed callback; None when only an unsigned return came."""
    result: Payload | None
    """GetResult's answer."""
    refusal: str | None = None
    """Why there is no answer, as an error code: RESULT_NOT_FOUND, DATA_DESTROYED, BUDGET_SPENT, ..."""
    reconcile: bool = True
    """False when the account's setting is `FACEID_RECONCILE=never`: then a missing answer is no finding."""
    later: tuple[Payload, ...] = ()
    """Signed callbacks that came after `callback` and say something else."""
    unseen: bool = False
    """Whether other signed evidence of the case differs and is not stored: too much came, or it was deleted."""


class ReconciledCase(Struct, frozen=True):
    """What `reconcile` hands to `classify`."""

    verified: VerifiedArrival
    """The first signed, final callback of the case, or the arrival that rechecked the case."""
    raw: str
    """GetResult's answer as it came; empty when there is none."""
    result: Payload | None
    """The same, parsed."""
    refusal: str | None
    """Why there is no answer; None when there is one, or when GetResult was not to be asked."""
    reconcile: bool
    """Whether GetResult was to be asked."""
    channels: tuple[str, ...]
    """The channels on which the case has had arrivals."""
    later: tuple[str, ...] = ()
    """The signed texts that came after `verified` and say something else."""
    unseen: bool = False
    """As in `Evidence`."""

    def __repr__(self) -> str:
        return f"<ReconciledCase {self.biz_id}>"  # the rest is personal data

    @property
    def biz_id(self) -> str:
        """FaceID's id of the verification."""
        return self.verified.biz_id

    @property
    def evidence(self) -> Evidence:
        """The input of the classifier."""
        later = tuple(map(Payload.from_json, self.later))
        return Evidence(self.verified.callback, self.result, self.refusal, self.reconcile, later, self.unseen)

    def dump(self) -> bytes:
        """The body of a message, as JSON. The signed text and the raw answer are kept byte for byte."""
        record = {
            "verified": self.verified.dump().decode(),
            "raw": self.raw,
            "refusal": self.refusal,
            "reconcile": self.reconcile,
            "channels": self.channels,
            "later": self.later,
            "unseen": self.unseen,
        }
        return json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode()

    @classmethod
    def load(cls, body: bytes) -> Self:
        """Read what `dump` wrote; parses both texts again."""
        record = json.loads(body)
        raw, verified = record["raw"], VerifiedArrival.load(record["verified"].encode())
        return cls(
            verified=verified,
            raw=raw,
            result=Payload.from_answer(raw, verified.biz_id) if raw else None,
            refusal=record["refusal"],
            reconcile=record["reconcile"],
            channels=tuple(record["channels"]),
            later=tuple(record.get("later", ())),  # the last version writes none
            unseen=record.get("unseen", False),
        )


def answer_text(raw: bytes) -> str:
    """GetResult's answer as text. Bytes that are not UTF-8 are replaced: the answer has cost a read."""
    return raw.decode("utf-8-sig", "replace")


def final_result(raw: bytes, biz_id: str) -> Payload | None:
    """Parse an answer of GetResult; None if it says that the flow has not ended, or is no JSON object."""
    try:
        result = Payload.from_answer(answer_text(raw), biz_id)
    except (NotJson, InvalidPayload):
        return None
    return result if is_final(result.status) else None


def differences(callback: Payload, result: Payload) -> tuple[str, ...]:
    """Dotted paths of the fields whose values differ, in the order of the payload; never the values.

    A field is compared when both payloads have it and a decision depends on it, so counters and times are not. What
    only one payload has is found by `combined`. Nothing is compared while either payload says that the flow has not
    ended. `81.2`, `"81.2"` and `81.20` are equal.
    """
    both_final = is_final(callback.status) and is_final(result.status)
    if not both_final or _compared_values(callback) == _compared_values(result):
        return ()
    paths = _differing_paths(callback, result)
    return tuple(".".join(path).replace("verify_result.refs.", "verify_result.") for path in paths)


def judged_alike(one: Payload, other: Payload) -> bool:
    """Whether two payloads are equal in all that the rules read. This is cheaper than to run the rules."""
    verify, other_verify = one.verify_result, other.verify_result
    if verify and other_verify:
        return _JUDGED(one) == _JUDGED(other) and _COMPARISON(verify) == _COMPARISON(other_verify)
    return verify is other_verify and _JUDGED(one) == _JUDGED(other)


def combined(result: Payload, callback: Payload) -> Payload:
    """`result`, with every part that only `callback` has."""
    both: Payload = _combine(result, callback)
    return structs.replace(both, unreadable=(*result.unreadable, *callback.unreadable))


def _combine(one: Any, other: Any) -> Any:
    if one is None or other is None:
        return other if one is None else one
    members, others = _members(one), _members(other)
    if members is None or others is None:
        return one
    both = others | {name: _combine(value, others.get(name)) for name, value in members.items()}
    return type(one)(**both) if isinstance(one, Struct) else both


def fingerprint(callback: Payload) -> str:
    """A hash of the fields that `differences` compares, 16 hex digits.

    Two callbacks without a difference have the same fingerprint, with two exceptions: a field that only one of them
    has, and numbers that differ by less than `differences` tolerates.
    """
    return sha256(to_json(_compared_values(callback))).hexdigest()[:16]


def _compared_values(payload: Payload) -> tuple[object, ...]:
    liveness, verify = payload.liveness_result, payload.verify_result
    return (
        _FLOW(payload),
        liveness and _LIVENESS(liveness),
        liveness and liveness.face_genuineness and _SCORES(liveness.face_genuineness),
        verify and verify.error_message,
        verify and [(name, ref.confidence, _present(ref.thresholds)) for name, ref in verify.refs.items()],
    )


def _present(thresholds: dict[str, float | None]) -> list[tuple[str, float | None]]:
    return sorted(item for item in thresholds.items() if item[1] is not None)


def _differing_paths(one: object, other: object) -> Iterator[tuple[str, ...]]:
    if one == other or one is None or other is None:
        return
    members, others = _members(one), _members(other)
    if members is None or others is None:
        if not _same_number(one, other):
            yield ()
        return
    for name in members:
        if name in others and name not in _NOT_COMPARED:
            for path in _differing_paths(members[name], others[name]):
                yield (name, *path)


def _members(value: object) -> dict[str, object] | None:
    if isinstance(value, Struct):
        return structs.asdict(value)
    return value if isinstance(value, dict) else None


def _same_number(one: object, other: object) -> bool:
    return isinstance(one, float) and isinstance(other, float) and isclose(one, other, rel_tol=1e-9, abs_tol=1e-9)
