"""The policy: a TOML file that says how evidence becomes a decision."""

import re
import tomllib
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, Strict, ValidationError, ValidationInfo, field_validator
from pydantic_core import ErrorDetails

from shared.events.decision import Effect, PolicyRef, ReasonCode

Rate = Literal["1e-3", "1e-4", "1e-5", "1e-6"]
"""A false-accept rate, from one in a thousand to one in a million. FaceID sends a threshold for each."""

DEFAULT: Final = Path(__file__).parents[1] / "policy.toml"
_RESULT_REF: Final = re.compile("result_ref[0-9]{1,3}")
_RATES: Final[tuple[Rate, ...]] = ("1e-3", "1e-4", "1e-5", "1e-6")
"""From the loosest to the strictest."""

_ApproveOrReview = Literal[Effect.APPROVE, Effect.REVIEW]
_RejectOrReview = Literal[Effect.REJECT, Effect.REVIEW]
_Incomplete = Literal[Effect.INCOMPLETE]
_UndeterminedOrReview = Literal[Effect.UNDETERMINED, Effect.REVIEW]
_NotApprove = Literal[Effect.REVIEW, Effect.REJECT, Effect.UNDETERMINED]


class PolicyError(ValueError):
    """The policy file can't be used. `faults` lists everything that is wrong with it, one sentence each."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Faces(_Table):
    """How face comparisons are decided: table `[faces]`."""

    approve_rate: Rate = "1e-4"
    review_rate: Rate = "1e-3"
    margin: Annotated[float, Strict(), Field(ge=0, le=100)] = 0.0
    required: Literal["all"] | tuple[str, ...] = "all"
    liveness_only: Annotated[bool, Strict()] = False

    @field_validator("liveness_only")
    @classmethod
    def _no_comparison_is_required(cls, liveness_only: bool, info: ValidationInfo) -> bool:
        if liveness_only and info.data.get("required", "all") != "all":
            raise ValueError("liveness alone can't approve while `required` names comparisons that must match")
        return liveness_only

    @field_validator("required", mode="before")
    @classmethod
    def _all_or_names(cls, required: object) -> object:
        names = required if isinstance(required, list | tuple) else ()
        if required != "all" and not (names and all(_RESULT_REF.fullmatch(str(name)) for name in names)):
            raise ValueError('must be "all" or a list of comparisons such as ["result_ref1"]')
        return required

    @field_validator("review_rate")
    @classmethod
    def _review_rate_is_not_stricter(cls, review_rate: Rate, info: ValidationInfo) -> Rate:
        approve_rate = info.data.get("approve_rate")
        if approve_rate and _RATES.index(approve_rate) < _RATES.index(review_rate):
            raise ValueError(
                f"{review_rate} is stricter than approve_rate {approve_rate}:"
                " a face below the review threshold would be approved"
            )
        return review_rate


class Scores(_Table):
    """How spoof scores are decided: table `[genuineness]`."""

    required: Annotated[bool, Strict()] = True
    margin: Annotated[float, Strict(), Field(ge=0, le=1)] = 0.0


class Effects(_Table):
    """The effect of each reason code, in the order of a decision's reasons: table `[effects]`.

    The types allow only safe effects: missing evidence never rejects, and an attack never approves.
    """

    FACE_MATCHED: _ApproveOrReview = Effect.APPROVE
    LIVENESS_ONLY: _ApproveOrReview = Effect.APPROVE
    LIVENESS_FAILED: _RejectOrReview = Effect.REJECT
    ATTACK_SYNTHETIC_FACE: _RejectOrReview = Effect.REJECT
    ATTACK_MASK: _RejectOrReview = Effect.REJECT
    ATTACK_SCREEN_REPLAY: _RejectOrReview = Effect.REJECT
    ATTACK_FACE_REPLACED: _RejectOrReview = Effect.REJECT
    FACE_BELOW_THRESHOLD: _RejectOrReview = Effect.REJECT
    NO_FACE_FOUND: _RejectOrReview = Effect.REJECT
    FACE_BETWEEN_THRESHOLDS: _RejectOrReview = Effect.REVIEW
    MULTIPLE_FACES: Literal[Effect.REVIEW, Effect.REJECT, Effect.APPROVE] = Effect.REVIEW
    GENUINENESS_MISSING: _NotApprove = Effect.REVIEW
    EVIDENCE_MISMATCH: _NotApprove = Effect.REVIEW
    NOT_RECONCILED: Literal[Effect.REVIEW, Effect.UNDETERMINED, Effect.APPROVE] = Effect.REVIEW
    FLOW_CANCELLED: _Incomplete = Effect.INCOMPLETE
    FLOW_TIMEOUT: _Incomplete = Effect.INCOMPLETE
    FLOW_FAILED: _Incomplete = Effect.INCOMPLETE
    WEBRTC_UNSUPPORTED: _Incomplete = Effect.INCOMPLETE
    EVIDENCE_LOST: _UndeterminedOrReview = Effect.UNDETERMINED
    EVIDENCE_INCOMPLETE: _UndeterminedOrReview = Effect.UNDETERMINED
    DATA_SOURCE_ERROR: _UndeterminedOrReview = Effect.UNDETERMINED
    VENDOR_INTERNAL_ERROR: _UndeterminedOrReview = Effect.UNDETERMINED
    UNKNOWN_STATUS: _UndeterminedOrReview = Effect.UNDETERMINED

    @field_validator("FACE_BETWEEN_THRESHOLDS")
    @classmethod
    def _between_is_not_stricter(cls, between: Effect, info: ValidationInfo) -> Effect:
        if between is Effect.REJECT and info.data.get("FACE_BELOW_THRESHOLD") is Effect.REVIEW:
            raise ValueError("a face between the thresholds would be rejected, and a face below them only reviewed")
        return between

    def of(self, code: ReasonCode) -> Effect:
        """The effect of a reason code."""
        return self.by_code[code]

    @cached_property
    def by_code(self) -> dict[ReasonCode, Effect]:
        """The effects by reason code."""
        return {code: getattr(self, code) for code in ReasonCode}


class Policy(_Table):
    """The policy of an account."""

    version: str = Field(min_length=1, max_length=64)
    faces: Faces = Faces()
    genuineness: Scores = Scores()
    effects: Effects = Effects()

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the content, in hex. Layout, comments and defaults that are written out make no difference."""
        return sha256(self.model_dump_json().encode()).hexdigest()

    @cached_property
    def ref(self) -> PolicyRef:
        """Version and digest, as decisions show them."""
        return PolicyRef(self.version, self.digest)

    @classmethod
    def load(cls, path: Path | str | None = None) -> Self:
        """Load a policy from a TOML file, or the default one.

        Raises:
            PolicyError: The file can't be read, is no TOML, or has invalid settings. It lists all faults.
        """
        try:
            return cls.model_validate(tomllib.loads(Path(path or DEFAULT).read_text(encoding="utf-8")))
        except OSError as error:
            raise PolicyError([f"can't be read: {error.strerror}"]) from error
        except ValidationError as error:
            raise PolicyError([_describe(fault) for fault in error.errors()]) from None
        except ValueError as error:
            raise PolicyError([f"is not TOML: {error}"]) from error


def _describe(fault: ErrorDetails) -> str:
    where = ".".join(map(str, fault["loc"])) or "the policy"
    match fault["type"]:
        case "extra_forbidden":
            return f"{where}: there is no such setting"
        case "literal_error":
            choices = re.findall("'.*?'", fault["ctx"]["expected"])
            return f"{where}: must be {' or '.join(choices)}"
        case "value_error":
            return f"{where}: {fault['ctx']['error']}"
        case _:
            return f"{where}: {fault['msg']}"


def explain(policy: Policy) -> list[str]:
    """Describe a policy, one sentence a line."""
    return [*_explain_faces(policy.faces), *_explain_scores(policy.genuineness), *_explain_effects(policy.effects)]


def _explain_faces(faces: Faces) -> list[str]:
    above = f" plus {faces.margin:g}" if faces.margin else ""
    lines = [f"At or above FaceID's {faces.approve_rate} threshold{above}, a face matches."]
    if faces.approve_rate != faces.review_rate:
        lines.append(f"Below that, down to the {faces.review_rate} threshold{above}, a face is between the thresholds.")
    lines.append(f"Below the {faces.review_rate} threshold{above}, a face does not match.")
    if faces.required == "all":
        lines.append("Every comparison in the result must match.")
    else:
        lines.append(f"These comparisons must match: {', '.join(faces.required)}. Others are ignored.")
    alone = "may approve" if faces.liveness_only else "never approves: a missing comparison gives EVIDENCE_INCOMPLETE"
    return [*lines, f"Liveness alone {alone}."]


def _explain_scores(scores: Scores) -> list[str]:
    below = f" less {scores.margin:g}" if scores.margin else ""
    missing = "GENUINENESS_MISSING" if scores.required else "no reason"
    return [f"A spoof score above its threshold{below} is an attack.", f"A missing spoof score gives {missing}."]


def _explain_effects(effects: Effects) -> list[str]:
    codes = {effect: [code for code in ReasonCode if effects.of(code) is effect] for effect in Effect}
    return [f"{_MEANINGS[effect]}: {', '.join(found)}." for effect, found in codes.items() if found]


_MEANINGS: Final = {
    Effect.APPROVE: "Supports approval",
    Effect.REJECT: "Causes rejection",
    Effect.REVIEW: "Asks for a review by a person",
    Effect.INCOMPLETE: "Asks the user to start again",
    Effect.UNDETERMINED: "Makes the outcome undetermined",
}
