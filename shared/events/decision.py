"""A decision about one verification: the message in the results queue, and its text for a support agent."""

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from functools import cached_property, lru_cache
from hashlib import sha1
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field


def schema_keywords(**keywords: Any) -> Any:
    """JSON Schema keywords for the published schema. `Decision` and `Alert` do not check them when they are read."""
    return Field(json_schema_extra=keywords)


Timestamp = Annotated[
    str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$", json_schema_extra={"format": "date-time"})
]
"""RFC 3339 in UTC with milliseconds: `2016-05-03T07:16:03.250Z`."""

AccountName = Annotated[str, schema_keywords(pattern="^[A-Za-z0-9_-]{1,64}$")]
BizId = Annotated[str, schema_keywords(pattern=r"^[\x21-\x7e]{1,128}$")]
EventId = Annotated[
    str, schema_keywords(format="uuid", pattern="^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$")
]
Score = Annotated[float, schema_keywords(minimum=0, maximum=1)]
Percent = Annotated[float, schema_keywords(minimum=0, maximum=100)]
Count = Annotated[int, schema_keywords(minimum=0)]

_NAMESPACE: Final = UUID("5c1f7c1e-6a0e-5d0b-9d4e-3f0f3b6f0a51").bytes


class Outcome(StrEnum):
    """The outcome of a verification."""

    APPROVED = "APPROVED"
    REJECTED = "REJECTED"
    REVIEW = "REVIEW"
    INCOMPLETE = "INCOMPLETE"
    UNDETERMINED = "UNDETERMINED"


class Effect(StrEnum):
    """The effect of one reason. The strongest effect among the reasons determines the outcome."""

    APPROVE = "approve"
    REJECT = "reject"
    REVIEW = "review"
    INCOMPLETE = "incomplete"
    UNDETERMINED = "undetermined"


class ReasonCode(StrEnum):
    """All reason codes, in the order in which a decision lists them."""

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
    """One finding: the field of the evidence, its value, the limit it was compared with, and its effect."""

    code: ReasonCode
    field: str
    """Dotted path in the evidence. For EVIDENCE_MISMATCH several paths, separated by a comma and a space."""
    value: float | str | None
    """The value of the field. Null: there is none, or it is not a number or a text."""
    limit: float | tuple[float, float] | None
    """What the value was compared with. For FACE_BETWEEN_THRESHOLDS both thresholds, the lower one first. Null: it was
    not compared."""
    effect: Effect


@dataclass(frozen=True, slots=True)
class PolicyRef:
    """The policy that decided: its version label, and the digest of its content."""

    version: str
    """The label that the author of the policy chose."""
    digest: Annotated[str, schema_keywords(pattern="^[0-9a-f]{64}$")]
    """SHA-256 of the policy's content, in hex. It differs when two policies have the same label."""


@dataclass(frozen=True, slots=True)
class Liveness:
    """The liveness check in the evidence."""

    result: str | None
    """`PASS` or `FAIL`. Null: not in the evidence."""
    procedure_type: str | None
    """`flash`, `still` or `distance`. Null: not in the evidence."""
    details: dict[str, Count]
    """Counters of problems during the check, by FaceID's names."""


@dataclass(frozen=True, slots=True)
class Genuineness:
    """Spoof scores and their thresholds, each 0 to 1, by FaceID's names. A score above its threshold is an attack.

    Null: not in the evidence.
    """

    synthetic_face_confidence: Score | None
    synthetic_face_threshold: Score | None
    mask_confidence: Score | None
    mask_threshold: Score | None
    screen_replay_confidence: Score | None
    screen_replay_threshold: Score | None
    face_replaced: Score | None
    """Above 0: the face was replaced during the check."""


@dataclass(frozen=True, slots=True)
class Face:
    """One face comparison. Confidence and thresholds are 0 to 100."""

    ref: str
    """The name of the comparison: `result_ref1`, `result_ref2`, ..."""
    confidence: Percent | None
    """Null: not in the evidence."""
    thresholds: dict[str, Percent]
    """The thresholds of this comparison by false-accept rate: `1e-3`, `1e-4`, `1e-5`, `1e-6`."""


class Decision(BaseModel):
    """The decision on one biz_id and its evidence. It is the `data` of a result message.

    Unknown members are ignored: a later version may add some.
    """

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True, use_attribute_docstrings=True)

    biz_id: BizId
    """FaceID's id of the verification, usually `<Unix seconds>,<UUID>`."""
    biz_no: str | None
    """The customer's own id of the verification, given to get_token. Null: not known."""
    biz_extra_data: str | None = Field(repr=False)
    """Text that the customer gave to get_token, unchanged. It may be personal data. Null: not known."""
    account: AccountName
    """Name of the FaceID account in the settings of the pipeline."""
    outcome: Outcome
    reasons: Annotated[tuple[Reason, ...], schema_keywords(minItems=1)]
    """All reasons, in a fixed order of their codes."""
    policy: PolicyRef
    reconciled: bool
    """Whether the decision is based on GetResult's answer."""
    channels: tuple[Literal["notify", "return"], ...]
    """The channels on which callbacks of this verification had arrived when the decision was made."""
    revision: int = Field(ge=1)
    """1 for the first decision on a biz_id. The decision with the highest revision is in force."""
    supersedes: EventId | None
    """The event id of the revision that this one replaces. Null for the first."""
    status: str | None
    """FaceID's status of the flow. `OK` does not mean that the person passed. Null: not in the evidence."""
    liveness: Liveness | None
    """Null: not in the evidence."""
    genuineness: Genuineness | None
    """Null: not in the evidence."""
    faces: tuple[Face, ...]
    """Every face comparison in the evidence. Empty: none was made."""
    received_at: Timestamp
    """When the callback that caused this decision was received."""
    decided_at: Timestamp
    """When the decision was made."""

    @cached_property
    def id(self) -> str:
        """The id of the event that carries this decision."""
        return decision_id(self.account, self.biz_id, self.revision)


def decision_id(account: str, biz_id: str, revision: int) -> str:
    """The id of a decision's event. The same revision of a case has the same id on every machine."""
    digest = sha1(_NAMESPACE + f"{account}\n{biz_id}\n{revision}".encode(), usedforsecurity=False).hexdigest()
    variant = "89ab"[int(digest[16], 16) & 3]  # the result of uuid.uuid5, in a fifth of the time
    return f"{digest[:8]}-{digest[8:12]}-5{digest[13:16]}-{variant}{digest[17:20]}-{digest[20:32]}"


def timestamp(unix_seconds: float) -> str:
    """A time as a `Timestamp`. Fractions of a millisecond are cut off."""
    seconds, microseconds = divmod(round(unix_seconds * 1e6), 1_000_000)  # 0.063 as a float is a little less than 0.063
    return f"{_to_the_second(seconds)}.{microseconds // 1000:03}Z"


@lru_cache(maxsize=1024)  # decisions of one batch fall into a few seconds
def _to_the_second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def describe(reason: Reason) -> str:
    """One sentence for a support agent: the finding and its effect."""
    found = REASON_TEXTS[reason.code].format(
        field=reason.field, value=_number(reason.value), limit=_number(reason.limit)
    )
    return f"{found}: {_EFFECT_TEXTS[reason.effect]}"


def _number(value: float | tuple[float, float] | str | None) -> str:
    if isinstance(value, tuple):
        return " and ".join(map(_number, value))
    return f"{value:.10g}" if isinstance(value, float) else str(value)


REASON_TEXTS: Final[dict[ReasonCode, str]] = {
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
    ReasonCode.MULTIPLE_FACES: "Several faces were found",
    ReasonCode.GENUINENESS_MISSING: "Spoof scores are missing ({field})",
    ReasonCode.EVIDENCE_MISMATCH: "A signed callback says what GetResult does not confirm ({field})",
    ReasonCode.NOT_RECONCILED: "GetResult could not confirm the callback ({value})",
    ReasonCode.FLOW_CANCELLED: "The user cancelled",
    ReasonCode.FLOW_TIMEOUT: "The time ran out",
    ReasonCode.FLOW_FAILED: "The check ended with an error",
    ReasonCode.WEBRTC_UNSUPPORTED: "The browser could not run the check ({value})",
    ReasonCode.EVIDENCE_LOST: "FaceID no longer has the result ({value})",
    ReasonCode.EVIDENCE_INCOMPLETE: "A required part of the evidence is missing or invalid ({field})",
    ReasonCode.DATA_SOURCE_ERROR: "FaceID reports a data source error; stop the service and contact FaceID",
    ReasonCode.VENDOR_INTERNAL_ERROR: "FaceID reports an internal error",
    ReasonCode.UNKNOWN_STATUS: "The status {value} is not known",
}

_EFFECT_TEXTS: Final[dict[Effect, str]] = {
    Effect.APPROVE: "supports approval",
    Effect.REJECT: "causes rejection",
    Effect.REVIEW: "a person must review it",
    Effect.INCOMPLETE: "the user has to start again",
    Effect.UNDETERMINED: "no verdict is possible",
}
