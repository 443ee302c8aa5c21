"""Which fields of a callback and GetResult's answer are compared, and the fingerprint of those fields."""

import json
from typing import Any

import pytest

from tests.support.payloads import CALLBACKS, REMOVED, callback, changed
from workers.decisioning.evidence import differences, fingerprint
from workers.faceid.payload import FaceGenuineness, Payload


@pytest.mark.parametrize("name", CALLBACKS)
def test_a_payload_agrees_with_itself(name: str) -> None:
    assert differences(callback(name), callback(name)) == ()


def shuffled(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: shuffled(part) for key, part in reversed(value.items())}
    return value


@pytest.mark.parametrize("name", CALLBACKS)
def test_order_does_not_matter(name: str) -> None:
    other = Payload.from_json(json.dumps(shuffled(CALLBACKS[name])))
    assert differences(callback(name), other) == ()


def rewritten(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: rewritten(part) for key, part in value.items()}
    return str(value) if isinstance(value, int | float) else value


@pytest.mark.parametrize("name", CALLBACKS)
def test_the_form_of_numbers_does_not_matter(name: str) -> None:
    other = Payload.from_json(json.dumps(rewritten(CALLBACKS[name])))
    assert differences(callback(name), other) == ()


@pytest.mark.parametrize(
    "changes",
    [
        {"verify_result": REMOVED},
        {"verify_result": None},
        {"liveness_result": REMOVED},
        {"multifaces_tag": REMOVED},
        {"biz_info__biz_no": REMOVED},
        {"liveness_result__face_genuineness": REMOVED},
        {"liveness_result__face_genuineness__mask_confidence": REMOVED},
        {"liveness_result__procedure_type": None},
        {"verify_result__result_ref1": REMOVED},
        {"verify_result__result_ref1__thresholds__1e-6": REMOVED},
        {"verify_result__result_ref2": {"confidence": 3}},
        {"verify_result__error_message": None},
        {"request_id": "1", "time_used": 7, "images": {"image_best": "aGk="}},
        {"risk_score": 7},
    ],
)
def test_a_field_that_only_one_payload_has_is_not_compared(changes: dict[str, Any]) -> None:
    one, other = callback(), callback(**changes)
    assert differences(one, other) == differences(other, one) == ()


@pytest.mark.parametrize(
    "changes",
    [
        {"liveness_result__details__UPLOAD_TIMES": 9},
        {"verify_result__verify_time": 1462259999},
        {"biz_info__biz_extra_data": "other"},
    ],
)
def test_a_field_that_no_decision_uses_is_not_compared(changes: dict[str, Any]) -> None:
    assert differences(callback(), callback(**changes)) == ()


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("status", "TIMEOUT"),
        ("biz_info.biz_id", "1,other"),
        ("biz_info.biz_no", "other"),
        ("liveness_result.result", "FAIL"),
        ("liveness_result.procedure_type", "flash"),
        ("liveness_result.face_genuineness.synthetic_face_confidence", 0.12),
        ("liveness_result.face_genuineness.synthetic_face_threshold", 0.6),
        ("liveness_result.face_genuineness.mask_confidence", "0.33"),
        ("liveness_result.face_genuineness.mask_threshold", 0.49),
        ("liveness_result.face_genuineness.screen_replay_confidence", 1),
        ("liveness_result.face_genuineness.screen_replay_threshold", 0.9),
        ("verify_result.error_message", "NO_FACE_FOUND"),
        ("verify_result.result_ref1.confidence", 81.3),
        ("verify_result.result_ref1.thresholds.1e-4", 70),
        ("multifaces_tag", "1"),
    ],
)
def test_a_difference_is_named_by_its_path(path: str, value: Any) -> None:
    one, other = callback(), callback(**{path.replace(".", "__"): value})
    assert differences(one, other) == differences(other, one) == (path,)


def test_a_replaced_face_is_compared() -> None:
    path = "liveness_result__face_genuineness__face_replaced"
    assert differences(callback(**{path: 0}), callback(**{path: 1})) == (path.replace("__", "."),)


def test_the_reason_of_a_failure_is_compared() -> None:
    one = callback("webrtc-unsupported")
    assert differences(one, callback("webrtc-unsupported", fail_reason="NETWORK_ERROR")) == ("fail_reason",)


def test_all_differences_are_named_in_the_order_of_the_payload() -> None:
    other = callback(
        multifaces_tag="1", status="FAILED", verify_result__result_ref1__confidence=1, biz_info__biz_no="7"
    )
    assert differences(callback(), other) == (
        "status",
        "biz_info.biz_no",
        "verify_result.result_ref1.confidence",
        "multifaces_tag",
    )


def test_the_last_digit_of_a_float_does_not_matter() -> None:
    path = "verify_result__result_ref1__confidence"
    assert differences(callback(**{path: 0.1 + 0.2}), callback(**{path: 0.3})) == ()
    assert differences(callback(**{path: 81.2}), callback(**{path: 81.2001})) != ()


@pytest.mark.parametrize("status", ["NOT_STARTED", "PROCESSING"])
def test_an_open_flow_is_not_compared(status: str) -> None:
    early = Payload.from_json(json.dumps(changed("processing", status=status)))
    assert differences(early, callback()) == differences(callback(), early) == ()


def test_differences_hold_no_value() -> None:
    assert "hunter2" not in str(differences(callback(), callback(biz_info__biz_no="hunter2")))


@pytest.mark.parametrize("name", CALLBACKS)
def test_the_fingerprint_does_not_depend_on_order_and_form(name: str) -> None:
    other = Payload.from_json(json.dumps(shuffled(rewritten(CALLBACKS[name]))))
    assert fingerprint(other) == fingerprint(callback(name))


@pytest.mark.parametrize(
    "path",
    [
        "status",
        "fail_reason",
        "multifaces_tag",
        "biz_info__biz_no",
        "liveness_result__result",
        "liveness_result__procedure_type",
        *(f"liveness_result__face_genuineness__{name}" for name in FaceGenuineness.__struct_fields__),
        "verify_result__error_message",
        "verify_result__result_ref1__confidence",
        "verify_result__result_ref1__thresholds__1e-4",
        "verify_result__result_ref2",
    ],
)
def test_a_field_that_decisions_use_changes_the_fingerprint(path: str) -> None:
    value = {"confidence": 1} if path.endswith("ref2") else "0.001"
    assert fingerprint(callback(**{path: value})) != fingerprint(callback())


@pytest.mark.parametrize("path", ["biz_info__biz_extra_data", "request_id", "time_used", "verify_result__verify_time"])
def test_a_field_that_no_decision_uses_leaves_the_fingerprint(path: str) -> None:
    assert fingerprint(callback(**{path: "0.001"})) == fingerprint(callback())
