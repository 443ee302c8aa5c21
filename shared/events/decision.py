"""A decision about one verification: what the results queue carries, and what a support agent reads."""

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from functools import cached_property, lru_cache
from hashlib import sha1
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field


def promised(**keywords: Any) -> Any:
    """JSON Schema keywords that hold because of how a value is made; no message is checked for them here."""
    return Field(json_schema_extra=keywords)


Timestamp = Annotated[
    str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$", json_schema_extra={"format": "date-time"})
]
"""RFC 3339 in UTC with milliseconds: `2016-05-03T07:16:03.250Z`."""

AccountName = Annotated[str, promised(pattern="^[A-Za-z0-9_-]{1,64}$")]
BizId = Annotated[str, promised(pattern=r"^[\x21-\x7e]{1,128}$")]
EventId = Annotated[
    str, promised(format="uuid", pattern="^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$")
]
Share = Annotated[float, promised(minimum=0, maximum=1)]
Percent = Annotated[float, promised(minimum=0, maximum=100)]
Count = Annotated[int, promised(minimum=0)]

_NAMESPACE: Final = UUID("5c1f7c1e-6a0e-5d0b-9d4e-3f0f3b6f0a51")


class Outcome(StrEnum):
    """What became of a verification."""

    APPROVED = "APPROVED"
    REJECTED = "REJECTED"
    REVIEW = "REVIEW"
    INCOMPLETE = "INCOMPLETE"
    UNDETERMINED = "UNDETERMINED"


class Effect(StrEnum):
    """What one reason asks for; the outcome follows the strongest effect among the reasons."""

    APPROVE = "approve"
    REJECT = "reject"
    REVIEW = "review"
    INCOMPLETE = "incomplete"
    UNDETERMINED = "undetermined"


class ReasonCode(StrEnum):
    """The closed set of reasons, in the order in which a decision lists them."""

    FACE_MATCHED = "FACE_MATCHED"
    LIVENESS_ONLY = "LIVENESS_ONLY"
    LIVENESS_FAILED = "LIVENESS_FAILED"
    ATTACK_SYNTHETIC_FACE = "ATTACK_SYNTHETIC_FACE"
    ATTACK_MASK = "ATTACK_MASK"
    ATTACK_SCREEN_REPLAY = "ATTACK_SCREEN_REPLAY"
    ATTACK_FACE_REPLACED = "ATTACK_FACE_REPLACED"
    FACE_BELOW_THRESHOLD = "FACE_BELOW_THRESHOLD"
    NO_FACE_FOUND = "NO_FACE_FOUND"
    FACE_BETWEEN_THRESHOLDS = "FACE_BETWEEN_THRESHOLDS"
    MULTIPLE_FACES = "MULTIPLE_FACES"
    GENUINENESS_MISSING = "GENUINENESS_MISSING"
    EVIDENCE_MISMATCH = "EVIDENCE_MISMATCH"
    NOT_RECONCILED = "NOT_RECONCILED"
    FLOW_CANCELLED = "FLOW_CANCELLED"
    FLOW_TIMEOUT = "FLOW_TIMEOUT"
    FLOW_FAILED = "FLOW_FAILED"
    WEBRTC_UNSUPPORTED = "WEBRTC_UNSUPPORTED"
    EVIDENCE_LOST = "EVIDENCE_LOST"
    EVIDENCE_INCOMPLETE = "EVIDENCE_INCOMPLETE"
    DATA_SOURCE_ERROR = "DATA_SOURCE_ERROR"
    VENDOR_INTERNAL_ERROR = "VENDOR_INTERNAL_ERROR"
    UNKNOWN_STATUS = "UNKNOWN_STATUS"


@dataclass(frozen=True, slots=True)
class Reason:
    """One finding: the field of the evidence, its value, the limit it was compared with, and what it asks for."""

    code: ReasonCode
    field: str
    """Dotted path in the evidence; several, joined by a comma and a space, for EVIDENCE_MISMATCH."""
    value: float | str | None
    """What was found there; null where nothing was, or where it can't be said in a word."""
    limit: float | tuple[float, float] | None
    """What the value was compared with: the two thresholds, lower first, for FACE_BETWEEN_THRESHOLDS. Null where
    nothing was compared."""
    effect: Effect


@dataclass(frozen=True, slots=True)
class PolicyRef:
    """Which policy decided: its own version label, and the digest of its content."""

    version: str
    """The label that the policy's author gave it."""
    digest: Annotated[str, promised(pattern="^[0-9a-f]{64}$")]
    """SHA-256 of the policy's content, in hex: two policies with one label can be told apart."""


@dataclass(frozen=True, slots=True)
class Liveness:
    """The liveness check as the evidence has it."""

    result: str | None
    """`PASS` or `FAIL`; null where the evidence does not say."""
    procedure_type: str | None
    """`flash`, `still` or `distance`; null where the evidence does not say."""
    details: dict[str, Count]
    """Counters of what went wrong on the way, by the vendor's names."""


@dataclass(frozen=True, slots=True)
class Genuineness:
    """Spoof scores and their thresholds, each from 0 to 1, by the vendor's names; above the threshold is an attack.

    Null: not in the evidence.
    """

    synthetic_face_confidence: Share | None
    synthetic_face_threshold: Share | None
    mask_confidence: Share | None
    mask_threshold: Share | None
    screen_replay_confidence: Share | None
    screen_replay_threshold: Share | None
    face_replaced: Share | None
    """Above 0: the face was replaced during the check."""


@dataclass(frozen=True, slots=True)
class Face:
    """One face comparison; confidence and thresholds are 0 to 100."""

    ref: str
    """`result_ref1`, `result_ref2`, ..."""
    confidence: Percent | None
    """Null: not in the evidence."""
    thresholds: dict[str, Percent]
    """By false-accept rate: `1e-3`, `1e-4`, `1e-5`, `1e-6`; those that came with this comparison."""


class Decision(BaseModel):
    """The verdict on one biz_id, with everything it rests on; the `data` of a result message.

    Members that a later version adds are ignored when it is read.
    """

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True, use_attribute_docstrings=True)

    biz_id: BizId
    """FaceID's id of the verification; by its habit `<unix seconds>,<uuid>`."""
    biz_no: str | None
    """The customer's own id of it, given to get_token; null where it is not known."""
    biz_extra_data: str | None = Field(repr=False)
    """What the customer gave to get_token to be sent back, and may be personal data; null where it is not known."""
    account: AccountName
    """The FaceID account, by its name in the settings of the pipeline."""
    outcome: Outcome
    reasons: Annotated[tuple[Reason, ...], promised(minItems=1)]
    """All of them, in the order of their codes."""
    policy: PolicyRef
    reconciled: bool
    """Whether GetResult's answer is what was decided on."""
    channels: tuple[Literal["notify", "return"], ...]
    """On which callbacks of this verification had come in by then."""
    revision: int = Field(ge=1)
    """1 for the first decision on a biz_id; the highest one stands."""
    supersedes: EventId | None
    """The id of the revision that this one replaces; null for the first."""
    status: str | None
    """How the flow ended, in the vendor's word, of which `OK` does not mean passed; null where no evidence says so."""
    liveness: Liveness | None
    """Null where the evidence has none."""
    genuineness: Genuineness | None
    """Null where the evidence has none."""
    faces: tuple[Face, ...]
    """Every comparison of the evidence; empty where none was made."""
    received_at: Timestamp
    """When the callback that led here came in."""
    decided_at: Timestamp
    """When it was classified."""

    @cached_property
    def id(self) -> str:
        """The id of the event that carries this decision."""
        return decision_id(self.account, self.biz_id, self.revision)


def decision_id(account: str, biz_id: str, revision: int) -> str:
    """The same for the same revision of the same case, on whatever machine: a repeat can be told by it."""
    digest = sha1(_NAMESPACE.bytes + f"{account}\n{biz_id}\n{revision}".encode(), usedforsecurity=False).hexdigest()
    variant = "89ab"[int(digest[16], 16) & 3]  # what uuid5 does, in a fifth of its time
    return f"{digest[:8]}-{digest[8:12]}-5{digest[13:16]}-{variant}{digest[17:20]}-{digest[20:32]}"


def timestamp(unix_seconds: float) -> str:
    """A moment as a `Timestamp`; what is finer than a millisecond is cut off."""
    seconds, microseconds = divmod(round(unix_seconds * 1e6), 1_000_000)  # 0.063 is stored as a little less
    return f"{_to_the_second(seconds)}.{microseconds // 1000:03}Z"


@lru_cache(maxsize=1024)  # what is decided together falls into few seconds
def _to_the_second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def in_words(reason: Reason) -> str:
    """One sentence for a support agent: what was found, and what follows."""
    found = REASON_WORDS[reason.code].format(
        field=reason.field, value=_number(reason.value), limit=_number(reason.limit)
    )
    return f"{found}: {_EFFECT_WORDS[reason.effect]}"


def _number(value: float | tuple[float, float] | str | None) -> str:
    if isinstance(value, tuple):
        return " and ".join(map(_number, value))
    return f"{value:.10g}" if isinstance(value, float) else str(value)


REASON_WORDS: Final[dict[ReasonCode, str]] = {
    ReasonCode.FACE_MATCHED: "Face confidence {value} reaches {limit}",
    ReasonCode.LIVENESS_ONLY: "The person was live, and no face comparison was made",
    ReasonCode.LIVENESS_FAILED: "The liveness check failed",
    ReasonCode.ATTACK_SYNTHETIC_FACE: "Synthetic face score {value} is above {limit}",
    ReasonCode.ATTACK_MASK: "Mask score {value} is above {limit}",
    ReasonCode.ATTACK_SCREEN_REPLAY: "Screen replay score {value} is above {limit}",
    ReasonCode.ATTACK_FACE_REPLACED: "The face was replaced during the check",
    ReasonCode.FACE_BELOW_THRESHOLD: "Face confidence {value} is below {limit}",
    ReasonCode.NO_FACE_FOUND: "No face was found in an image of the comparison",
    ReasonCode.FACE_BETWEEN_THRESHOLDS: "Face confidence {value} lies between {limit}",
    ReasonCode.MULTIPLE_FACES: "Several faces were seen",
    ReasonCode.GENUINENESS_MISSING: "Spoof scores are missing ({field})",
    ReasonCode.EVIDENCE_MISMATCH: "The callback and GetResult disagree ({field})",
    ReasonCode.NOT_RECONCILED: "GetResult could not confirm the callback ({value})",
    ReasonCode.FLOW_CANCELLED: "The user cancelled",
    ReasonCode.FLOW_TIMEOUT: "The time ran out",
    ReasonCode.FLOW_FAILED: "The check ended with an error",
    ReasonCode.WEBRTC_UNSUPPORTED: "The browser could not run the check ({value})",
    ReasonCode.EVIDENCE_LOST: "The result can't be had from FaceID any more ({value})",
    ReasonCode.EVIDENCE_INCOMPLETE: "The evidence lacks a part that is needed, or it can't be read ({field})",
    ReasonCode.DATA_SOURCE_ERROR: "FaceID reports a data source error; stop the service and contact FaceID",
    ReasonCode.VENDOR_INTERNAL_ERROR: "FaceID reports an internal error",
    ReasonCode.UNKNOWN_STATUS: "The status {value} is not known",
}

_EFFECT_WORDS: Final[dict[Effect, str]] = {
    Effect.APPROVE: "this speaks for approval",
    Effect.REJECT: "this refuses the person",
    Effect.REVIEW: "a person must look",
    Effect.INCOMPLETE: "the user has to start again",
    Effect.UNDETERMINED: "no verdict is possible",
}
