"""The policy: how evidence becomes a decision, as a TOML file that is validated whole."""

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
"""A false-accept rate: one in a thousand to one in a million."""

DEFAULT: Final = Path(__file__).parents[1] / "policy.toml"
_RESULT_REF: Final = re.compile("result_ref[0-9]{1,3}")
_RATES: Final[tuple[Rate, ...]] = ("1e-3", "1e-4", "1e-5", "1e-6")

_Approving = Literal[Effect.APPROVE, Effect.REVIEW]
_Refusing = Literal[Effect.REJECT, Effect.REVIEW]
_Starting = Literal[Effect.INCOMPLETE]
_Unknowing = Literal[Effect.UNDETERMINED, Effect.REVIEW]
_Doubting = Literal[Effect.REVIEW, Effect.REJECT, Effect.UNDETERMINED]


class PolicyError(ValueError):
    """The policy file can't be used; `faults` says all that is wrong with it, a sentence each."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Faces(_Table):
    """What a face comparison must reach."""

    approve_rate: Rate = "1e-4"
    review_rate: Rate = "1e-3"
    margin: Annotated[float, Strict(), Field(ge=0, le=100)] = 0.0
    required: Literal["all"] | tuple[str, ...] = "all"
    liveness_only: Annotated[bool, Strict()] = False

    @field_validator("required", mode="before")
    @classmethod
    def _names(cls, required: object) -> object:
        names = required if isinstance(required, list | tuple) else ()
        if required != "all" and not (names and all(_RESULT_REF.fullmatch(str(name)) for name in names)):
            raise ValueError('has to be "all" or a list of comparisons such as ["result_ref1"]')
        return required

    @field_validator("review_rate")
    @classmethod
    def _looser(cls, review_rate: Rate, info: ValidationInfo) -> Rate:
        approve_rate = info.data.get("approve_rate")
        if approve_rate and _RATES.index(approve_rate) < _RATES.index(review_rate):
            raise ValueError(
                f"{review_rate} is stricter than approve_rate {approve_rate}:"
                " a face that has to be rejected would be approved"
            )
        return review_rate


class Scores(_Table):
    """What the spoof scores must satisfy."""

    required: Annotated[bool, Strict()] = True
    margin: Annotated[float, Strict(), Field(ge=0, le=1)] = 0.0


class Effects(_Table):
    """What each finding asks for, in the order of a decision's reasons.

    Only what makes sense is allowed: what can't be known is never a refusal, an attack is never let pass.
    """

    FACE_MATCHED: _Approving = Effect.APPROVE
    LIVENESS_ONLY: _Approving = Effect.APPROVE
    LIVENESS_FAILED: _Refusing = Effect.REJECT
    ATTACK_SYNTHETIC_FACE: _Refusing = Effect.REJECT
    ATTACK_MASK: _Refusing = Effect.REJECT
    ATTACK_SCREEN_REPLAY: _Refusing = Effect.REJECT
    ATTACK_FACE_REPLACED: _Refusing = Effect.REJECT
    FACE_BELOW_THRESHOLD: _Refusing = Effect.REJECT
    NO_FACE_FOUND: _Refusing = Effect.REJECT
    FACE_BETWEEN_THRESHOLDS: _Refusing = Effect.REVIEW
    MULTIPLE_FACES: Literal[Effect.REVIEW, Effect.REJECT, Effect.APPROVE] = Effect.REVIEW
    GENUINENESS_MISSING: _Doubting = Effect.REVIEW
    EVIDENCE_MISMATCH: _Doubting = Effect.REVIEW
    NOT_RECONCILED: Literal[Effect.REVIEW, Effect.UNDETERMINED, Effect.APPROVE] = Effect.REVIEW
    FLOW_CANCELLED: _Starting = Effect.INCOMPLETE
    FLOW_TIMEOUT: _Starting = Effect.INCOMPLETE
    FLOW_FAILED: _Starting = Effect.INCOMPLETE
    WEBRTC_UNSUPPORTED: _Starting = Effect.INCOMPLETE
    EVIDENCE_LOST: _Unknowing = Effect.UNDETERMINED
    EVIDENCE_INCOMPLETE: _Unknowing = Effect.UNDETERMINED
    DATA_SOURCE_ERROR: _Unknowing = Effect.UNDETERMINED
    VENDOR_INTERNAL_ERROR: _Unknowing = Effect.UNDETERMINED
    UNKNOWN_STATUS: _Unknowing = Effect.UNDETERMINED

    @field_validator("FACE_BETWEEN_THRESHOLDS")
    @classmethod
    def _not_worse(cls, between: Effect, info: ValidationInfo) -> Effect:
        if between is Effect.REJECT and info.data.get("FACE_BELOW_THRESHOLD") is Effect.REVIEW:
            raise ValueError("a face between the thresholds would be rejected, and a worse one reviewed")
        return between

    def of(self, code: ReasonCode) -> Effect:
        """What a reason of this code asks for."""
        effect: Effect = getattr(self, code)
        return effect


class Policy(_Table):
    """The rules of one account."""

    version: str = Field(min_length=1, max_length=64)
    faces: Faces = Faces()
    genuineness: Scores = Scores()
    effects: Effects = Effects()

    @cached_property
    def digest(self) -> str:
        """The SHA-256 of the content in hex; layout, comments and spelt-out defaults make no difference."""
        return sha256(self.model_dump_json().encode()).hexdigest()

    @cached_property
    def ref(self) -> PolicyRef:
        """How decisions name it."""
        return PolicyRef(self.version, self.digest)

    @classmethod
    def load(cls, path: Path | str | None = None) -> Self:
        """The policy in a TOML file, or the default one.

        Raises:
            PolicyError: The file can't be read, is no TOML, or is no sound policy; all faults at once.
        """
        try:
            return cls.model_validate(tomllib.loads(Path(path or DEFAULT).read_text(encoding="utf-8")))
        except OSError as error:
            raise PolicyError([f"can't be read: {error.strerror}"]) from error
        except ValidationError as error:
            raise PolicyError([_in_words(fault) for fault in error.errors()]) from None
        except ValueError as error:
            raise PolicyError([f"is no TOML: {error}"]) from error


def _in_words(fault: ErrorDetails) -> str:
    where = ".".join(map(str, fault["loc"])) or "the policy"
    match fault["type"]:
        case "extra_forbidden":
            return f"{where}: there is no such setting"
        case "literal_error":
            choices = re.findall("'.*?'", fault["ctx"]["expected"])
            return f"{where}: has to be {' or '.join(choices)}"
        case "value_error":
            return f"{where}: {fault['ctx']['error']}"
        case _:
            return f"{where}: {fault['msg']}"


def explain(policy: Policy) -> list[str]:
    """The policy in words, a sentence a line."""
    return [*_explain_faces(policy.faces), *_explain_scores(policy.genuineness), *_explain_effects(policy.effects)]


def _explain_faces(faces: Faces) -> list[str]:
    above = f" plus {faces.margin:g}" if faces.margin else ""
    lines = [f"A face matches at or above the vendor's {faces.approve_rate} threshold{above}."]
    if faces.approve_rate != faces.review_rate:
        lines.append(f"From the {faces.review_rate} threshold{above} up to there it lies between the thresholds.")
    lines.append(f"Below the {faces.review_rate} threshold{above} it does not match.")
    if faces.required == "all":
        lines.append("Every comparison that was made must match; the worst decides.")
    else:
        lines.append(f"These comparisons must match, and others are ignored: {', '.join(faces.required)}.")
    alone = "may approve" if faces.liveness_only else "never approves: a missing comparison is EVIDENCE_INCOMPLETE"
    return [*lines, f"Liveness alone {alone}."]


def _explain_scores(scores: Scores) -> list[str]:
    below = f" less {scores.margin:g}" if scores.margin else ""
    missing = "GENUINENESS_MISSING" if scores.required else "let pass"
    return [f"A spoof score above its threshold{below} is an attack.", f"A missing spoof score is {missing}."]


def _explain_effects(effects: Effects) -> list[str]:
    codes = {effect: [code for code in ReasonCode if effects.of(code) is effect] for effect in Effect}
    return [f"{_VERBS[effect]}: {', '.join(found)}." for effect, found in codes.items() if found]


_VERBS: Final = {
    Effect.APPROVE: "Speaks for approval",
    Effect.REJECT: "Rejects",
    Effect.REVIEW: "Calls for a person",
    Effect.INCOMPLETE: "Sends the user back to the start",
    Effect.UNDETERMINED: "Allows no verdict",
}
