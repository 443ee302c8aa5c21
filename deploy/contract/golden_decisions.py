"""A decision for every reason and every outcome, made by the code that makes real ones. All data is made up."""

import copy
import json
from typing import Any, Final
from uuid import UUID, uuid5

from shared.events.decision import Decision, ReasonCode
from shared.ledger.superseding import Superseding
from shared.messaging.envelope import Envelope
from workers.decisioning.classifier import classify
from workers.decisioning.decision_builder import BUDGET_SPENT, LATE_ANSWER_NOTE, PIPELINE_USER, decide, supersede
from workers.decisioning.evidence import Evidence, ReconciledCase
from workers.decisioning.policy import Faces, Policy
from workers.faceid.payload import Payload
from workers.faceid.verification import VerifiedArrival

Changes = dict[str, Any]
"""A JSON Merge Patch (RFC 7396): None removes a member."""

ACCOUNT: Final = "default"
BORN: Final = 1_700_000_000
"""When each verification began, in Unix seconds."""
_CASES: Final = UUID("00000000-0000-4000-8000-000000000000")
_POLICY: Final = Policy.load()

_PASSED: Final[Changes] = {
    "status": "OK",
    "liveness_result": {
        "result": "PASS",
        "procedure_type": "flash",
        "details": {"FACE_NOT_FOUND": 1, "LOW_FACE_QUALITY": 0},
        "face_genuineness": {
            "synthetic_face_confidence": 0.11,
            "synthetic_face_threshold": 0.5,
            "mask_confidence": 0.02,
            "mask_threshold": 0.5,
            "screen_replay_confidence": 0.0,
            "screen_replay_threshold": 0.5,
        },
    },
    "verify_result": {
        "result_ref1": {"confidence": 81.2, "thresholds": {"1e-3": 64.0, "1e-4": 69.0, "1e-5": 74.0, "1e-6": 79.9}}
    },
    "multifaces_tag": "0",
}
_UNFINISHED: Final[Changes] = {"liveness_result": None, "verify_result": None, "multifaces_tag": None}


def _score(name: str, value: float) -> Changes:
    return {"liveness_result": {"face_genuineness": {name: value}}}


def _confidence(value: float) -> Changes:
    return {"verify_result": {"result_ref1": {"confidence": value}}}


def _error(message: str) -> Changes:
    return {"verify_result": {"result_ref1": None, "error_message": message}}


_EVIDENCE: Final[dict[ReasonCode, Changes]] = {
    ReasonCode.FACE_MATCHED: {},
    ReasonCode.LIVENESS_ONLY: {"verify_result": None},
    ReasonCode.LIVENESS_FAILED: {"liveness_result": {"result": "FAIL"}, "verify_result": None},
    ReasonCode.ATTACK_SYNTHETIC_FACE: _score("synthetic_face_confidence", 0.88),
    ReasonCode.ATTACK_MASK: _score("mask_confidence", 0.91),
    ReasonCode.ATTACK_SCREEN_REPLAY: _score("screen_replay_confidence", 0.75),
    ReasonCode.ATTACK_FACE_REPLACED: _score("face_replaced", 1.0),
    ReasonCode.FACE_BELOW_THRESHOLD: _confidence(41.5),
    ReasonCode.NO_FACE_FOUND: _error("NO_FACE_FOUND"),
    ReasonCode.FACE_BETWEEN_THRESHOLDS: _confidence(66.25),
    ReasonCode.MULTIPLE_FACES: {"multifaces_tag": "1"},
    ReasonCode.GENUINENESS_MISSING: {"liveness_result": {"face_genuineness": None}},
    ReasonCode.EVIDENCE_MISMATCH: _confidence(81.3),
    ReasonCode.FLOW_CANCELLED: {"status": "CANCELLED", **_UNFINISHED},
    ReasonCode.FLOW_TIMEOUT: {"status": "TIMEOUT", **_UNFINISHED},
    ReasonCode.FLOW_FAILED: {"status": "FAILED", **_UNFINISHED},
    ReasonCode.WEBRTC_UNSUPPORTED: {"status": "WEBRTC_UNSUPPORTED", "fail_reason": "PERMISSIONS_ERROR", **_UNFINISHED},
    ReasonCode.EVIDENCE_INCOMPLETE: {"verify_result": None},
    ReasonCode.DATA_SOURCE_ERROR: _error("DATA_SOURCE_ERROR"),
    ReasonCode.VENDOR_INTERNAL_ERROR: _error("INTERNAL_ERROR"),
    ReasonCode.UNKNOWN_STATUS: {"status": "PAUSED"},
}


def decisions() -> dict[str, Decision]:
    """A decision for each reason by its code in lower case, and `superseding`, which replaces another one."""
    made = {code.lower(): _decided(code.lower(), _evidence(code), _policy(code)) for code in ReasonCode}
    return {**made, "superseding": superseding().new}


def superseding() -> Superseding:
    """GetResult's answer arrives late and agrees with the callback."""
    name = ReasonCode.NOT_RECONCILED.lower()
    old = _decided(name, _evidence(ReasonCode.NOT_RECONCILED), _POLICY)
    fresh = _decided(name, Evidence(_payload(name), _payload(name)), _POLICY, now=BORN + 3600.5)
    return supersede(b"", old, fresh, by=PIPELINE_USER, note=LATE_ANSWER_NOTE)


def _biz_id(name: str) -> str:
    return f"{BORN},{uuid5(_CASES, name)}"


def _policy(code: ReasonCode) -> Policy:
    if code is ReasonCode.LIVENESS_ONLY:
        return Policy(version="liveness-only", faces=Faces(liveness_only=True))
    return _POLICY


def _evidence(code: ReasonCode) -> Evidence:
    """Evidence that gives this reason. Everything else in it is the same for all reasons."""
    name = code.lower()
    match code:
        case ReasonCode.EVIDENCE_LOST:
            return Evidence(None, None, "DATA_DESTROYED")
        case ReasonCode.NOT_RECONCILED:
            return Evidence(_payload(name), None, BUDGET_SPENT)
        case ReasonCode.EVIDENCE_MISMATCH:
            return Evidence(_payload(name), _payload(name, _EVIDENCE[code]))
        case _:
            payload = _payload(name, _EVIDENCE[code])
            return Evidence(payload, payload)


def _payload(name: str, changes: Changes | None = None) -> Payload:
    info = {"biz_id": _biz_id(name), "biz_no": f"dummy-{name}", "biz_extra_data": '{"customer": "nobody"}'}
    return Payload.from_json(json.dumps({**_merged(_PASSED, changes or {}), "biz_info": info}))


def _merged(base: Changes, changes: Changes) -> Changes:
    merged = copy.deepcopy(base)
    for name, value in changes.items():
        if isinstance(value, dict) and isinstance(merged.get(name), dict):
            merged[name] = _merged(merged[name], value)
        elif value is None:
            merged.pop(name, None)
        else:
            merged[name] = value
    return merged


def _decided(name: str, evidence: Evidence, policy: Policy, now: float = BORN + 60.5) -> Decision:
    envelope = Envelope("golden", ACCOUNT, "notify", "POST", BORN + 60.25, b"")
    verified = VerifiedArrival(_biz_id(name), evidence.callback, "", None)
    channels = ("notify", "return") if evidence.callback else ("return",)
    reconciled = ReconciledCase(verified, "", evidence.result, evidence.refusal, evidence.reconcile, channels)
    return decide(envelope, reconciled, classify(reconciled.evidence, policy), policy, now).decision
