"""The reader of payloads that the product had before msgspec: the reference for the differential fuzz.

It is removed one version after the change.
"""

import re
from dataclasses import dataclass
from typing import Annotated, Any, Final, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    Strict,
    ValidationError,
)
from pydantic_core import CoreSchema, core_schema

from workers.faceid import odd_json, strict_json

_DIGITS: Final = r"^-?[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]+)?$"


@dataclass(frozen=True, eq=False)  # an annotation must be hashable, and a schema is not
class _ValidatedBy:
    """An annotation: pydantic validates the type with this schema."""

    schema: CoreSchema

    def __get_pydantic_core_schema__(self, _source: object, _handler: object) -> CoreSchema:
        return self.schema


def _either(one: CoreSchema, other: CoreSchema) -> CoreSchema:
    """The first schema that fits. One error is reported, at the field's own path, instead of one for each schema."""
    return core_schema.union_schema(
        [one, other], mode="left_to_right", custom_error_type="number", custom_error_message="not a number in range"
    )


def _number(low: float | None = None, high: float | None = None) -> CoreSchema:
    """A JSON number, or a number in a string; never a boolean. `low` and `high` are inclusive."""
    number = core_schema.float_schema(allow_inf_nan=False, ge=low, le=high)
    digits = core_schema.str_schema(strict=True, max_length=40, pattern=_DIGITS)
    return _either({**number, "strict": True}, core_schema.chain_schema([digits, number]))


def _count() -> CoreSchema:
    """A whole number of at least 0, in the same forms."""
    whole = core_schema.int_schema(strict=True, ge=0)
    return _either(whole, core_schema.chain_schema([_number(0), core_schema.int_schema()]))


Number = Annotated[float, _ValidatedBy(_number())]
Percent = Annotated[float, _ValidatedBy(_number(0, 100))]
Ratio = Annotated[float, _ValidatedBy(_number(0, 1))]
Count = Annotated[int, _ValidatedBy(_count())]
Flag = Annotated[str, AfterValidator(lambda text: text.removesuffix(".0"))]
"""`"0"` or `"1"`; FaceID sends a string, an int or a float."""

BIZ_ID: Final = re.compile(r"[\x21-\x7e]{1,128}")
"""A valid biz_id. FaceID makes them as `<unix seconds>,<uuid>` but does not document that, so any printable ASCII text
is accepted."""
_OPEN_STATUSES: Final = frozenset({"NOT_STARTED", "PROCESSING"})
_RESULT_REF: Final = re.compile(r"result_ref[0-9]{1,3}")


def is_final(status: str | None) -> bool:
    """Whether the flow has ended. A missing or unknown status counts as ended: waiting would bring no other one."""
    return status not in _OPEN_STATUSES


class InvalidPayload(ValueError):
    """The JSON document is no object, or has no valid biz_id. The message holds no value."""


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="allow", hide_input_in_errors=True, coerce_numbers_to_str=True)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"  # a payload is personal data

    __str__ = __repr__


class BizInfo(_Model):
    """The ids of the verification: FaceID's, and the customer's own (`biz_no`, `biz_extra_data`)."""

    biz_id: Annotated[str, Strict(), Field(pattern=f"^{BIZ_ID.pattern}$")]
    biz_no: str | None = None
    biz_extra_data: str | None = None


class FaceGenuineness(_Model):
    """Spoof scores and their thresholds, 0 to 1. A score above its threshold is an attack (FaceID's callback page)."""

    synthetic_face_confidence: Ratio | None = None
    synthetic_face_threshold: Ratio | None = None
    mask_confidence: Ratio | None = None
    mask_threshold: Ratio | None = None
    screen_replay_confidence: Ratio | None = None
    screen_replay_threshold: Ratio | None = None
    face_replaced: Ratio | None = None


def _fix_misprint(counters: dict[str, int]) -> dict[str, int]:
    """Rename a counter that the example on FaceID's callback page misspells."""
    if "VIDOE_FORMAT_UNSUPPORTED" in counters:
        counters["VIDEO_FORMAT_UNSUPPORTED"] = counters.pop("VIDOE_FORMAT_UNSUPPORTED")
    return counters


class LivenessResult(_Model):
    """The liveness check. `details` counts the user's failed tries by cause; the names depend on `procedure_type`."""

    result: str | None = None
    procedure_type: str | None = None
    details: Annotated[dict[str, Count], AfterValidator(_fix_misprint)] = {}
    face_genuineness: FaceGenuineness | None = None


class ResultRef(_Model):
    """One face comparison: `confidence` 0 to 100, and `thresholds` 0 to 100 by false-accept rate (`"1e-4"`)."""

    confidence: Percent | None = None
    thresholds: dict[str, Percent | None] = {}


class VerifyResult(_Model):
    """The face comparisons. `refs` holds `result_ref1` to `result_refN` by name, in the order of their numbers."""

    error_message: Annotated[str | None, AfterValidator(lambda message: message or "")] = ""
    """Empty when there is no error."""
    verify_time: Number | None = None
    """Unix seconds."""
    refs: dict[str, ResultRef] = {}


class Payload(_Model):
    """The payload of one callback or one GetResult answer. Only the biz_id is always there."""

    status: str | None = None
    fail_reason: str | None = None
    biz_info: BizInfo
    liveness_result: LivenessResult | None = None
    verify_result: VerifyResult | None = None
    multifaces_tag: Flag | None = None
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
                return cls._validate({"biz_info": {"biz_id": biz_id}}, "biz_info.biz_id")
        return cls._from_document(document)

    @classmethod
    def _from_document(cls, document: JsonValue) -> Self:
        if not isinstance(document, dict):
            raise InvalidPayload("not a JSON object")
        _fill_biz_info(document)
        _gather_refs(document.get("verify_result"))
        return cls._validate(document)

    @classmethod
    def _validate(cls, raw: dict[str, JsonValue], *removed: JsonValue) -> Self:
        """Remove the parts that are not valid, until the rest is. `removed`: what was removed before."""
        unreadable = [*removed]
        raw["unreadable"] = unreadable
        while True:
            try:
                return cls.model_validate(raw)
            except ValidationError as error:
                unreadable += [_remove(raw, path) for path in _invalid_paths(error)]


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


def _gather_refs(verify: JsonValue) -> None:
    """Move `result_ref1` to `result_refN` into `refs`, in the order of their numbers."""
    if isinstance(verify, dict):
        names = [name for name in verify if name.startswith("result_ref") and _RESULT_REF.fullmatch(name)]
        names.sort()
        names.sort(key=len)
        refs = {name: verify.pop(name) for name in names}
        verify["refs"] = {name: ref for name, ref in refs.items() if ref is not None}


def _invalid_paths(error: ValidationError) -> list[tuple[int | str, ...]]:
    """The paths of the parts that are not valid; raises `InvalidPayload` when the biz_id is one of them."""
    paths = [one["loc"] for one in error.errors(include_url=False, include_context=False, include_input=False)]
    if any(path in {("biz_info",), ("biz_info", "biz_id")} for path in paths):
        raise InvalidPayload("no usable biz_id") from None
    return paths


def _remove(raw: Any, path: tuple[int | str, ...]) -> str:
    """Remove one part; returns its dotted path as FaceID names it."""
    for key in path[:-1]:
        raw = raw[key]
    del raw[path[-1]]
    return ".".join(map(str, path)).replace("verify_result.refs.", "verify_result.")
