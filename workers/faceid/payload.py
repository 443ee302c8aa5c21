"""The payload of a callback, and of GetResult's answer, which has the same fields (FaceID's callback page).

The reader accepts what FaceID sends beyond its page. Numbers come as ints, floats or strings, and missing parts as
null. Unknown fields are ignored, and unknown values of an enum are kept. A part of a wrong type or out of range is
removed, and its path is listed in `unreadable`: the decision treats it as missing, and the callback is not lost. A
boolean is never a number.
"""

import re
from sys import float_info
from typing import Annotated, Final, Self, TypeVar

from msgspec import Meta, Struct, ValidationError, convert
from msgspec.structs import replace
from pydantic import JsonValue

from workers.faceid import odd_json, strict_json
from workers.faceid.lenient_reader import lenient_reader

Number = Annotated[float, Meta(ge=-float_info.max, le=float_info.max)]
Percent = Annotated[float, Meta(ge=0, le=100)]
Ratio = Annotated[float, Meta(ge=0, le=1)]
Count = Annotated[int, Meta(ge=0)]

BIZ_ID: Final = re.compile(r"[\x21-\x7e]{1,128}")
"""A valid biz_id. FaceID makes them as `<unix seconds>,<uuid>` but does not document that, so any printable ASCII text
is accepted."""
_OPEN_STATUSES: Final = frozenset({"NOT_STARTED", "PROCESSING"})
_RESULT_REF: Final = re.compile(r"result_ref[0-9]{1,3}")
_MISPRINT: Final = "VIDOE_FORMAT_UNSUPPORTED"
"""A counter that the example on FaceID's callback page misspells."""


def is_final(status: str | None) -> bool:
    """Whether the flow has ended. A missing or unknown status counts as ended: waiting would bring no other one."""
    return status not in _OPEN_STATUSES


class InvalidPayload(ValueError):
    """The JSON document is no object, or has no valid biz_id. The message holds no value."""


class _Part(Struct, frozen=True, gc=False):
    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"  # a payload is personal data


class BizInfo(_Part, frozen=True, gc=False):
    """The ids of the verification: FaceID's, and the customer's own (`biz_no`, `biz_extra_data`)."""

    biz_id: str
    biz_no: str | None = None
    biz_extra_data: str | None = None


class FaceGenuineness(_Part, frozen=True, gc=False):
    """Spoof scores and their thresholds, 0 to 1. A score above its threshold is an attack (FaceID's callback page)."""

    synthetic_face_confidence: Ratio | None = None
    synthetic_face_threshold: Ratio | None = None
    mask_confidence: Ratio | None = None
    mask_threshold: Ratio | None = None
    screen_replay_confidence: Ratio | None = None
    screen_replay_threshold: Ratio | None = None
    face_replaced: Ratio | None = None


class LivenessResult(_Part, frozen=True, gc=False):
    """The liveness check. `details` counts the user's failed tries by cause; the names depend on `procedure_type`."""

    result: str | None = None
    procedure_type: str | None = None
    details: dict[str, Count] = {}
    face_genuineness: FaceGenuineness | None = None


class ResultRef(_Part, frozen=True, gc=False):
    """One face comparison: `confidence` 0 to 100, and `thresholds` 0 to 100 by false-accept rate (`"1e-4"`)."""

    confidence: Percent | None = None
    thresholds: dict[str, Percent | None] = {}


class VerifyResult(_Part, frozen=True, gc=False):
    """The face comparisons. `refs` holds `result_ref1` to `result_refN` by name, in the order of their numbers."""

    error_message: str = ""
    """Empty when there is no error."""
    verify_time: Number | None = None
    """Unix seconds."""
    refs: dict[str, ResultRef] = {}


class Payload(_Part, frozen=True, gc=False, kw_only=True):
    """The payload of one callback or one GetResult answer. Only the biz_id is always there."""

    status: str | None = None
    fail_reason: str | None = None
    biz_info: BizInfo
    liveness_result: LivenessResult | None = None
    verify_result: VerifyResult | None = None
    multifaces_tag: str | None = None
    """`"0"` or `"1"`; FaceID sends a string, an int or a float."""
    request_id: str | None = None
    time_used: Number | None = None
    unreadable: tuple[str, ...] = ()
    """Dotted paths of the parts that were removed."""

    @property
    def biz_id(self) -> str:
        """FaceID's id of the verification: 1 to 128 printable ASCII characters."""
        return self.biz_info.biz_id

    @classmethod
    def from_json(cls, text: bytes | str) -> Self:
        """Parse the signed text of a callback.

        Raises:
            NotStrictJson: The text is not one strict JSON document.
            InvalidPayload: The document is no object, or its biz_id is missing or invalid.
        """
        return cls._from_document(strict_json.parse(text))

    @classmethod
    def from_answer(cls, text: str, biz_id: str) -> Self:
        """Parse the body of a GetResult answer, whatever is odd about it.

        FaceID counts every read, so an answer that breaks a rule of strict JSON is still used. A part that can't be
        relied on (a doubled key, NaN) is treated as missing. So is everything, if the answer names another biz_id.

        Args:
            text: The body. Up to 4 MiB.
            biz_id: The id that GetResult was asked for. It is used when the text names none.

        Raises:
            NotJson: The text is not one JSON document.
            InvalidPayload: The document is no object.
        """
        document = odd_json.parse(text)
        if isinstance(document, dict):
            _fill_biz_info(document, biz_id)
            if not _is_of(document, biz_id):
                return cls(biz_info=BizInfo(biz_id), unreadable=("biz_info.biz_id",))
        return cls._from_document(document)

    @classmethod
    def _from_document(cls, document: JsonValue) -> Self:
        if not isinstance(document, dict):
            raise InvalidPayload("not a JSON object")
        _fill_biz_info(document)
        _check_biz_id(document["biz_info"])
        _gather_refs(document.get("verify_result"))
        document.pop("unreadable", None)
        try:
            payload = convert(document, cls)
        except ValidationError:
            payload, removed = lenient_reader(cls)(document)
            payload = replace(payload, unreadable=tuple(map(_dotted, removed)))
        return _normalized(payload)


P = TypeVar("P", bound=Payload)


def _is_of(raw: dict[str, JsonValue], biz_id: str) -> bool:
    info = raw["biz_info"]
    return isinstance(info, dict) and info["biz_id"] == biz_id


def _fill_biz_info(raw: dict[str, JsonValue], biz_id: str | None = None) -> None:
    """Make `biz_info` from ids beside the other fields, as a sibling product of FaceID sends them, or from `biz_id`."""
    info = raw.get("biz_info")
    if info is None:
        info = raw["biz_info"] = {key: raw[key] for key in ("biz_id", "biz_no", "biz_extra_data") if key in raw}
    if biz_id is not None and isinstance(info, dict) and info.get("biz_id") is None:
        info["biz_id"] = biz_id


def _check_biz_id(info: JsonValue) -> None:
    biz_id = info.get("biz_id") if isinstance(info, dict) else None
    if not (isinstance(biz_id, str) and BIZ_ID.fullmatch(biz_id)):
        raise InvalidPayload("no usable biz_id")


def _gather_refs(verify: JsonValue) -> None:
    """Move `result_ref1` to `result_refN` into `refs`, by number. Null is an empty error message."""
    if isinstance(verify, dict):
        names = [name for name in verify if name.startswith("result_ref") and _RESULT_REF.fullmatch(name)]
        if len(names) > 1:
            names.sort()
            names.sort(key=len)
        refs = {name: verify.pop(name) for name in names}
        verify["refs"] = {name: ref for name, ref in refs.items() if ref is not None}
        if verify.get("error_message") is None:
            verify["error_message"] = ""


def _dotted(path: tuple[str, ...]) -> str:
    """The path of a removed part as FaceID names it."""
    return ".".join(path).replace("verify_result.refs.", "verify_result.")


def _normalized(payload: P) -> P:
    """Write the multifaces tag as a whole number, and a misspelt counter under its right name."""
    tag, liveness = payload.multifaces_tag, payload.liveness_result
    if liveness is not None and _MISPRINT in liveness.details:
        liveness.details["VIDEO_FORMAT_UNSUPPORTED"] = liveness.details.pop(_MISPRINT)
    if tag is not None and tag.endswith(".0"):
        return replace(payload, multifaces_tag=tag.removesuffix(".0"))
    return payload
