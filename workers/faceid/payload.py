"""The payload of a callback, and of GetResult's answer, which has the same fields (official page, Callbacks).

Loose where the vendor is: numbers come as ints, floats or strings, absent parts as null, unknown fields and unknown
enum values are carried on. A part of a wrong type or beyond its range is taken out and named in `unreadable`, so that
it is decided on as missing instead of losing the callback. A boolean is never a number.
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

from workers.faceid import strict_json

_DIGITS: Final = r"^-?[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]+)?$"


@dataclass(frozen=True, eq=False)  # types have to be hashable, and a schema is not
class _Read:
    """How pydantic reads a type: by this schema instead of its own."""

    schema: CoreSchema

    def __get_pydantic_core_schema__(self, _source: object, _handler: object) -> CoreSchema:
        return self.schema


def _either(one: CoreSchema, other: CoreSchema) -> CoreSchema:
    """The first of the two that fits; a fault is told once and at its own place."""
    return core_schema.union_schema(
        [one, other], mode="left_to_right", custom_error_type="number", custom_error_message="not a number in range"
    )


def _number(low: float | None = None, high: float | None = None) -> CoreSchema:
    """A JSON number or one written in a string, never a boolean."""
    number = core_schema.float_schema(allow_inf_nan=False, ge=low, le=high)
    digits = core_schema.str_schema(strict=True, max_length=40, pattern=_DIGITS)
    return _either({**number, "strict": True}, core_schema.chain_schema([digits, number]))


def _count() -> CoreSchema:
    """A whole number from 0 in any of these forms."""
    whole = core_schema.int_schema(strict=True, ge=0)
    return _either(whole, core_schema.chain_schema([_number(0), core_schema.int_schema()]))


Number = Annotated[float, _Read(_number())]
Percent = Annotated[float, _Read(_number(0, 100))]
Share = Annotated[float, _Read(_number(0, 1))]
Count = Annotated[int, _Read(_count())]
Flag = Annotated[str, AfterValidator(lambda text: text.removesuffix(".0"))]
"""`"0"` or `"1"`, whether it came as a string, an int or a float."""

BIZ_ID: Final = re.compile(r"[\x21-\x7e]{1,128}")
"""What can be a biz_id: `<unix seconds>,<uuid>` is the vendor's habit, not his promise."""
_UNDER_WAY: Final = frozenset({"NOT_STARTED", "PROCESSING"})
_RESULT_REF: Final = re.compile(r"result_ref[0-9]{1,3}")


def is_final(status: str | None) -> bool:
    """Whether the flow has ended; with a missing or an unknown status it has, since no better one is to be expected."""
    return status not in _UNDER_WAY


class NotACallback(ValueError):
    """A JSON document that can't be told whose it is: no object, or no usable biz_id. The message holds no value."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="allow", hide_input_in_errors=True, coerce_numbers_to_str=True)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"  # the parts of a payload are personal data

    __str__ = __repr__


class BizInfo(_Part):
    """Whose verification it is."""

    biz_id: Annotated[str, Strict(), Field(pattern=f"^{BIZ_ID.pattern}$")]
    biz_no: str | None = None
    biz_extra_data: str | None = None


class FaceGenuineness(_Part):
    """Spoof scores and their thresholds, each from 0 to 1; above the threshold is an attack."""

    synthetic_face_confidence: Share | None = None
    synthetic_face_threshold: Share | None = None
    mask_confidence: Share | None = None
    mask_threshold: Share | None = None
    screen_replay_confidence: Share | None = None
    screen_replay_threshold: Share | None = None
    face_replaced: Share | None = None


def _unslipped(counters: dict[str, int]) -> dict[str, int]:
    """The vendor's own example misprints this name."""
    if "VIDOE_FORMAT_UNSUPPORTED" in counters:
        counters["VIDEO_FORMAT_UNSUPPORTED"] = counters.pop("VIDOE_FORMAT_UNSUPPORTED")
    return counters


class LivenessResult(_Part):
    """The liveness check; `details` counts what went wrong on the way, by names that depend on `procedure_type`."""

    result: str | None = None
    procedure_type: str | None = None
    details: Annotated[dict[str, Count], AfterValidator(_unslipped)] = {}
    face_genuineness: FaceGenuineness | None = None


class ResultRef(_Part):
    """One face comparison; thresholds by false-accept rate."""

    confidence: Percent | None = None
    thresholds: dict[str, Percent | None] = {}


class VerifyResult(_Part):
    """The face comparisons: `refs` holds `result_ref1` to `result_refN` by these names and in this order."""

    error_message: Annotated[str | None, AfterValidator(lambda message: message or "")] = ""
    """Empty: no error."""
    verify_time: Number | None = None
    """Unix seconds."""
    refs: dict[str, ResultRef] = {}


class Callback(_Part):
    """One payload. Everything but the biz_id may be missing."""

    status: str | None = None
    fail_reason: str | None = None
    biz_info: BizInfo
    liveness_result: LivenessResult | None = None
    verify_result: VerifyResult | None = None
    multifaces_tag: Flag | None = None
    request_id: str | None = None
    time_used: Number | None = None
    unreadable: tuple[str, ...] = ()
    """Dotted paths of the parts that were taken out."""

    @property
    def biz_id(self) -> str:
        """The vendor's id of the verification: 1 to 128 printable ASCII characters."""
        return self.biz_info.biz_id

    @classmethod
    def from_json(cls, text: bytes | str, *, biz_id: str | None = None) -> Self:
        """The payload in `text`, which is parsed once.

        Args:
            text: The signed text, or the body of a GetResult answer.
            biz_id: Whose it is where the text does not say so: the id that GetResult was asked for.

        Raises:
            NotStrictJson: The text is not the one JSON document that it has to be.
            NotACallback: It is no object, or its biz_id is missing or unusable.
        """
        raw = strict_json.parse(text)
        if not isinstance(raw, dict):
            raise NotACallback("not a JSON object")
        _name(raw, biz_id)
        _gather_refs(raw.get("verify_result"))
        return cls._readable(raw)

    @classmethod
    def _readable(cls, raw: dict[str, JsonValue]) -> Self:
        """Validated, less the parts that do not validate."""
        unreadable: list[JsonValue] = []
        raw["unreadable"] = unreadable
        while True:
            try:
                return cls.model_validate(raw)
            except ValidationError as error:
                unreadable += [_take_out(raw, path) for path in _faulty(error)]


def _name(raw: dict[str, JsonValue], biz_id: str | None) -> None:
    """Whose it is: said in `biz_info`, or beside the other fields as by a sibling product, or known beforehand."""
    info = raw.get("biz_info")
    if info is None:
        info = raw["biz_info"] = {key: raw[key] for key in ("biz_id", "biz_no", "biz_extra_data") if key in raw}
    if biz_id is not None and isinstance(info, dict):
        info.setdefault("biz_id", biz_id)


def _gather_refs(verify: JsonValue) -> None:
    if isinstance(verify, dict):
        names = [name for name in verify if name.startswith("result_ref") and _RESULT_REF.fullmatch(name)]
        names.sort()
        names.sort(key=len)
        refs = {name: verify.pop(name) for name in names}
        verify["refs"] = {name: ref for name, ref in refs.items() if ref is not None}


def _faulty(error: ValidationError) -> list[tuple[int | str, ...]]:
    """The ways to the parts that do not validate."""
    paths = [fault["loc"] for fault in error.errors(include_url=False, include_context=False, include_input=False)]
    if any(path in {("biz_info",), ("biz_info", "biz_id")} for path in paths):
        raise NotACallback("no usable biz_id") from None
    return paths


def _take_out(raw: Any, path: tuple[int | str, ...]) -> str:
    for key in path[:-1]:
        raw = raw[key]
    del raw[path[-1]]
    return ".".join(map(str, path)).replace("verify_result.refs.", "verify_result.")
