"""The scenarios of a verification, and the documents that FaceID sends about them. No I/O."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

Document = dict[str, object]
Procedure = Literal["still", "flash", "distance"]
Attack = Literal["synthetic_face", "mask", "screen_replay", "face_replaced"]

MOVING_COUNTERS: Final = (
    "FACE_NOT_FOUND",
    "SIDE_FACE",
    "UPDOWN_FACE",
    "EYE_OCCLUSION",
    "MOUTH_OCCLUSION",
    "AWAY_FROM_CAMERA",
    "CLOSE_TO_CAMERA",
    "FACE_OUT_OF_CAMERA",
    "HIGH_BRIGHTNESS",
    "LOW_BRIGHTNESS",
    "LOW_FACE_QUALITY",
)
COUNTERS: Final[Mapping[Procedure, tuple[str, ...]]] = MappingProxyType(
    {
        "still": (
            "UPLOAD_TIMES",
            "FACE_NOT_FOUND",
            "LOW_FACE_QUALITY",
            "INVALID_VIDEO_DURATION",
            "SR_ERROR",
            "NOT_SYNCHRONIZED",
            "VIDEO_FORMAT_UNSUPPORTED",
            "NO_AUDIO",
            "VIDEO_FACE_INCONSISTENT",
        ),
        "flash": MOVING_COUNTERS,
        "distance": MOVING_COUNTERS,
    }
)
"""The counters in `liveness_result.details` for each procedure (official callback page)."""

THRESHOLDS: Final = ((64, 69, 74, 79.9), (62.169, 69.315, 74.399, 78.038), (65.3, 71.8, 76.5, 79.9))
"""Confidence thresholds seen in FaceID's answers, for the `RATES`. The n-th reference photo gets the n-th set."""
RATES: Final = ("1e-3", "1e-4", "1e-5", "1e-6")
"""False-accept rates."""


@dataclass(frozen=True, slots=True)
class DocumentOptions:
    """What a document depends on beside the evidence: ids, and the choices made in get_token."""

    biz_id: str
    biz_no: str
    biz_extra_data: str = ""
    procedure: Procedure = "still"
    compared: bool = True
    """Whether faces are compared. False with `comparison_type=-1`."""
    attack_fails_liveness: bool = True
    """Whether an attack makes the liveness result FAIL. False with `fmp_mode=1`: the customer judges the scores."""
    fail_reason_wanted: bool = False
    """`get_fail_reason=1`."""
    multifaces_tag_wanted: bool = False
    """`return_multifaces_tag=1`."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """The findings of FaceID in one verification."""

    status: str = "OK"
    live: bool | None = True
    """The liveness result. None: the user did not finish the liveness check."""
    attack: Attack | None = None
    attack_confidence: float = 0.97
    """0 to 1; the threshold is 0.5."""
    genuineness: bool = True
    """Whether the answer has the scores against spoofing."""
    confidences: tuple[float, ...] = (81.2,)
    """Face confidence for each reference photo, 0 to 100."""
    verification: Literal["made", "null", "absent"] = "made"
    """`verify_result`: an object, JSON null, or left out."""
    verify_error: str | None = None
    faces: int = 1
    fail_reason: str = ""
    numbers_as_strings: bool = False
    """Write every number as a string."""
    unknown_fields: bool = False
    """Add fields that the API's documents do not have."""
    misspelt_counter: bool = False
    """Write `VIDOE_FORMAT_UNSUPPORTED`, as one of the API's documents does."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """What a user does, and what FaceID finds."""

    meaning: str
    evidence: Evidence
    notified_before: tuple[str, ...] = ()
    """Statuses of notify callbacks that are sent before the flow has ended."""
    returns: bool = True
    """Whether the browser is sent to the return_url. It is not after a timeout."""


def _unfinished(status: str, fail_reason: str = "") -> Evidence:
    return Evidence(status=status, live=None, fail_reason=fail_reason)


SCENARIOS: Final[Mapping[str, Scenario]] = MappingProxyType(
    {
        "pass": Scenario("a live person, the right face", Evidence()),
        "liveness-fail": Scenario("the liveness check failed", Evidence(live=False, verification="absent")),
        "synthetic-attack": Scenario("a generated face", Evidence(attack="synthetic_face")),
        "mask-attack": Scenario("a mask", Evidence(attack="mask")),
        "screen-replay-attack": Scenario("a screen held to the camera", Evidence(attack="screen_replay")),
        "face-replaced-attack": Scenario("a swapped face", Evidence(attack="face_replaced")),
        "mask-at-threshold": Scenario(
            "a score equal to its threshold: no attack", Evidence(attack="mask", attack_confidence=0.5)
        ),
        "no-genuineness": Scenario("no scores against spoofing", Evidence(genuineness=False)),
        "face-between": Scenario("a face between 1e-3 and 1e-4", Evidence(confidences=(66.0,))),
        "face-at-threshold": Scenario("a face exactly at 1e-4", Evidence(confidences=(69,))),
        "face-below": Scenario("another person's face", Evidence(confidences=(12.5,))),
        "no-face": Scenario("no face in the photo", Evidence(verify_error="NO_FACE_FOUND")),
        "several-faces": Scenario("several people before the camera", Evidence(faces=2)),
        "two-refs": Scenario("two reference photos, both matched", Evidence(confidences=(81.2, 71.0))),
        "two-refs-one-below": Scenario("two reference photos, one matched", Evidence(confidences=(81.2, 12.5))),
        "liveness-only": Scenario("no comparison was made", Evidence(verification="absent")),
        "verify-null": Scenario("verify_result is JSON null", Evidence(verification="null")),
        "data-source-error": Scenario("the vendor's data is broken", Evidence(verify_error="DATA_SOURCE_ERROR")),
        "internal-error": Scenario("the vendor failed to compare", Evidence(verify_error="INTERNAL_ERROR")),
        "cancelled": Scenario("the user gave up", _unfinished("CANCELLED")),
        "timeout": Scenario("the user closed the page", _unfinished("TIMEOUT"), returns=False),
        "failed": Scenario("the flow ended with an error", _unfinished("FAILED")),
        "webrtc-unsupported": Scenario("a browser without WebRTC", _unfinished("WEBRTC_UNSUPPORTED", "SUPPORT_ERROR")),
        "webrtc-no-camera": Scenario(
            "the camera was not allowed", _unfinished("WEBRTC_UNSUPPORTED", "PERMISSIONS_ERROR")
        ),
        "webrtc-no-network": Scenario(
            "the network failed the camera", _unfinished("WEBRTC_UNSUPPORTED", "NETWORK_ERROR")
        ),
        "processing-first": Scenario("PROCESSING is notified, then OK", Evidence(), ("PROCESSING",)),
        "not-started-first": Scenario("NOT_STARTED, PROCESSING, then OK", Evidence(), ("NOT_STARTED", "PROCESSING")),
        "processing": Scenario("the only callback says PROCESSING", _unfinished("PROCESSING")),
        "not-started": Scenario("the only callback says NOT_STARTED", _unfinished("NOT_STARTED")),
        "unknown-status": Scenario("a status that is not in the documents", _unfinished("ARCHIVED")),
        "numbers-as-strings": Scenario("every number is a string", Evidence(numbers_as_strings=True)),
        "unknown-fields": Scenario("fields that are not in the documents", Evidence(unknown_fields=True)),
        "misspelt-counter": Scenario("a counter spelt VIDOE_FORMAT_UNSUPPORTED", Evidence(misspelt_counter=True)),
    }
)


def document(options: DocumentOptions, evidence: Evidence, verify_time: int | None = None) -> Document:
    """The document in `data`, fields in the order of the official callback page.

    `verify_time`: Unix seconds. None: it was not asked for.
    """
    fields: Document = {"status": evidence.status}
    if evidence.fail_reason and options.fail_reason_wanted:
        fields["fail_reason"] = evidence.fail_reason
    fields["biz_info"] = {
        "biz_extra_data": options.biz_extra_data,
        "biz_id": options.biz_id,
        "biz_no": options.biz_no,
    }
    if evidence.live is not None:
        fields |= _findings(options, evidence, verify_time)
    if evidence.unknown_fields:
        fields["risk_score"] = {"v": 1}
    return _quoted(fields) if evidence.numbers_as_strings else fields


def _findings(options: DocumentOptions, evidence: Evidence, verify_time: int | None) -> Document:
    findings: Document = {"liveness_result": _liveness(options, evidence)}
    if options.compared and evidence.verification != "absent":
        findings["verify_result"] = _verification(evidence, verify_time) if evidence.verification == "made" else None
    if options.multifaces_tag_wanted:
        findings["multifaces_tag"] = "1" if evidence.faces > 1 else "0"
    return findings


def _liveness(options: DocumentOptions, evidence: Evidence) -> Document:
    scores = _genuineness(evidence)
    failed_by_attack = options.attack_fails_liveness and _is_attack(scores)
    result: Document = {
        "result": "PASS" if evidence.live and not failed_by_attack else "FAIL",
        "procedure_type": options.procedure,
        "details": _counters(options.procedure, misspelt=evidence.misspelt_counter),
    }
    if evidence.genuineness:
        result["face_genuineness"] = scores
    if evidence.unknown_fields:
        result["shiny_new"] = True
    return result


def _counters(procedure: Procedure, *, misspelt: bool) -> Document:
    counters: Document = dict.fromkeys(COUNTERS[procedure], 0)
    if procedure == "still":
        counters["UPLOAD_TIMES"] = 1
    if misspelt:
        counters["VIDOE_FORMAT_UNSUPPORTED"] = counters.pop("VIDEO_FORMAT_UNSUPPORTED", 0)
    return counters


def _genuineness(evidence: Evidence) -> dict[str, float]:
    scores: dict[str, float] = {
        "synthetic_face_confidence": 0.11,
        "synthetic_face_threshold": 0.5,
        "mask_confidence": 0.32,
        "mask_threshold": 0.5,
        "screen_replay_confidence": 0.0,
        "screen_replay_threshold": 0.5,
    }
    if evidence.attack == "face_replaced":
        scores["face_replaced"] = 1
    elif evidence.attack:
        scores[f"{evidence.attack}_confidence"] = evidence.attack_confidence
    return scores


def _is_attack(scores: Mapping[str, float]) -> bool:
    kinds = ("synthetic_face", "mask", "screen_replay")
    return scores.get("face_replaced", 0) > 0 or any(
        scores[f"{kind}_confidence"] > scores[f"{kind}_threshold"] for kind in kinds
    )


def _verification(evidence: Evidence, verify_time: int | None) -> Document:
    if evidence.verify_error:
        return {"error_message": evidence.verify_error}
    result: Document = {} if verify_time is None else {"verify_time": verify_time}
    for number, confidence in enumerate(evidence.confidences):
        thresholds = THRESHOLDS[number % len(THRESHOLDS)]
        result[f"result_ref{number + 1}"] = {
            "confidence": confidence,
            "thresholds": dict(zip(RATES, thresholds, strict=True)),
        }
    return result


def _quoted(fields: Document) -> Document:
    return {name: _quote(value) for name, value in fields.items()}


def _quote(value: object) -> object:
    if isinstance(value, dict):
        return _quoted(value)
    return str(value) if isinstance(value, int | float) else value
