"""The payload model: every field of FaceID's callback page, in every form that FaceID sends."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from tests.support.payloads import BIZ_ID, CALLBACKS, REMOVED, SIGNATURES, callback, changed
from workers.faceid.odd_json import NotJson
from workers.faceid.payload import (
    FaceGenuineness,
    InvalidPayload,
    LivenessResult,
    Payload,
    ResultRef,
    VerifyResult,
    is_final,
)
from workers.faceid.strict_json import NotStrictJson

FLASH = [
    "FACE_NOT_FOUND", "SIDE_FACE", "UPDOWN_FACE", "EYE_OCCLUSION", "MOUTH_OCCLUSION", "AWAY_FROM_CAMERA",
    "CLOSE_TO_CAMERA", "FACE_OUT_OF_CAMERA", "HIGH_BRIGHTNESS", "LOW_BRIGHTNESS", "LOW_FACE_QUALITY",
]  # fmt: skip
STILL = [
    "UPLOAD_TIMES", "FACE_NOT_FOUND", "LOW_FACE_QUALITY", "INVALID_VIDEO_DURATION", "SR_ERROR", "NOT_SYNCHRONIZED",
    "NO_AUDIO", "VIDEO_FORMAT_UNSUPPORTED", "VIDEO_FACE_INCONSISTENT",
]  # fmt: skip
SCORES = [
    f"{kind}_{part}" for kind in ("synthetic_face", "mask", "screen_replay") for part in ("confidence", "threshold")
]


def liveness(payload: Payload) -> LivenessResult:
    assert payload.liveness_result is not None
    return payload.liveness_result


def genuineness(payload: Payload) -> FaceGenuineness:
    scores = liveness(payload).face_genuineness
    assert scores is not None
    return scores


def comparison(payload: Payload) -> VerifyResult:
    assert payload.verify_result is not None
    return payload.verify_result


def ref(payload: Payload, name: str = "result_ref1") -> ResultRef:
    return comparison(payload).refs[name]


@pytest.mark.parametrize("name", CALLBACKS)
def test_every_part_of_a_vector_can_be_read(name: str) -> None:
    payload = callback(name)
    assert payload.unreadable == ()
    assert payload.biz_id == BIZ_ID
    assert payload.status == CALLBACKS[name]["status"]


def test_the_ids_are_read() -> None:
    info = callback(biz_info__biz_no="order 7", biz_info__biz_extra_data='{"n": "张"}').biz_info
    assert (info.biz_id, info.biz_no, info.biz_extra_data) == (BIZ_ID, "order 7", '{"n": "张"}')


@pytest.mark.parametrize("reason", ["NETWORK_ERROR", "PERMISSIONS_ERROR", "SUPPORT_ERROR", "A_NEW_ONE"])
def test_the_fail_reason_is_read(reason: str) -> None:
    assert callback("webrtc-unsupported", fail_reason=reason).fail_reason == reason


@pytest.mark.parametrize(
    ("procedure", "counters"), [("flash", FLASH), ("distance", FLASH), ("still", STILL), ("new", ["X"])]
)
def test_the_counters_of_every_procedure_are_read(procedure: str, counters: list[str]) -> None:
    details = {name: count for count, name in enumerate(counters)}
    found = liveness(callback(liveness_result__procedure_type=procedure, liveness_result__details=details))
    assert (found.procedure_type, found.details) == (procedure, details)


def test_the_misspelt_counter_is_read_under_its_right_name() -> None:
    found = liveness(callback(liveness_result__details={"VIDOE_FORMAT_UNSUPPORTED": 3}))
    assert found.details == {"VIDEO_FORMAT_UNSUPPORTED": 3}


def test_spoof_scores_are_read() -> None:
    values = {name: index / 10 for index, name in enumerate(SCORES)} | {"face_replaced": 1}
    assert structs.asdict(genuineness(callback(liveness_result__face_genuineness=values))) == values


def test_comparisons_are_read_in_the_order_of_their_numbers() -> None:
    refs = {f"result_ref{number}": {"confidence": number} for number in (10, 2, 1, 11)}
    found = comparison(callback(verify_result=refs))
    assert [(name, ref.confidence) for name, ref in found.refs.items()] == [
        ("result_ref1", 1), ("result_ref2", 2), ("result_ref10", 10), ("result_ref11", 11),
    ]  # fmt: skip


def test_thresholds_are_read_by_their_rate() -> None:
    assert ref(callback()).thresholds == {"1e-3": 64, "1e-4": 69, "1e-5": 74, "1e-6": 79.9}


def test_the_time_and_the_error_of_a_comparison_are_read() -> None:
    found = comparison(callback(verify_result={"verify_time": 1462259763, "error_message": "NO_FACE_FOUND"}))
    assert (found.verify_time, found.error_message, found.refs) == (1462259763, "NO_FACE_FOUND", {})


@pytest.mark.parametrize("message", [None, REMOVED, ""])
def test_no_error_message_is_an_empty_one(message: Any) -> None:
    assert (
        comparison(callback(verify_result={} if message is REMOVED else {"error_message": message})).error_message == ""
    )


def test_the_extras_of_a_getresult_answer_are_read() -> None:
    result = callback(request_id="1462259763,abc", time_used=1079, images={"image_best": "aGk="})
    assert (result.request_id, result.time_used, result.unreadable) == ("1462259763,abc", 1079, ())


@pytest.mark.parametrize("written", [81, 81.0, "81", "81.0", "8.1e1", "8.1E+1"])
def test_a_number_is_the_same_in_every_form(written: Any) -> None:
    assert ref(callback(verify_result__result_ref1__confidence=written)).confidence == 81.0


@pytest.mark.parametrize("written", [1, "1", 1.0, "1.0"])
def test_the_multifaces_tag_is_the_same_in_every_form(written: Any) -> None:
    assert callback(multifaces_tag=written).multifaces_tag == "1"


@pytest.mark.parametrize(("written", "count"), [(3, 3), ("3", 3), (3.0, 3), ("3.0", 3)])
def test_a_counter_is_the_same_in_every_form(written: Any, count: int) -> None:
    found = liveness(callback(liveness_result__details={"NO_AUDIO": written})).details["NO_AUDIO"]
    assert (found, type(found)) == (count, int)


def test_a_numeric_biz_no_is_read_as_text() -> None:
    assert callback(biz_info__biz_no=123).biz_info.biz_no == "123"


@pytest.mark.parametrize(
    "path",
    [
        "status", "fail_reason", "liveness_result", "verify_result", "multifaces_tag", "biz_info__biz_no",
        "biz_info__biz_extra_data", "liveness_result__result", "liveness_result__face_genuineness",
        "liveness_result__face_genuineness__mask_confidence", "verify_result__error_message",
        "verify_result__verify_time", "verify_result__result_ref2", "verify_result__result_ref1__confidence",
        "verify_result__result_ref1__thresholds__1e-6",
    ],
)  # fmt: skip
def test_null_means_absent(path: str) -> None:
    assert callback(**{path: None}).unreadable == ()


def test_unknown_fields_are_ignored() -> None:
    payload = callback("unknown-fields")
    assert (payload.unreadable, payload.status, liveness(payload).result) == ((), "OK", "PASS")


WRONG: list[tuple[str, Any]] = [
    ("status", ["OK"]),
    ("status", True),
    ("fail_reason", {}),
    ("liveness_result", "PASS"),
    ("liveness_result", []),
    ("liveness_result.result", {"PASS": 1}),
    ("liveness_result.details", 5),
    ("liveness_result.details.NO_AUDIO", True),
    ("liveness_result.details.NO_AUDIO", -1),
    ("liveness_result.details.NO_AUDIO", 0.5),
    ("liveness_result.details.NO_AUDIO", "many"),
    ("liveness_result.face_genuineness", "fine"),
    ("liveness_result.face_genuineness.mask_confidence", True),
    ("liveness_result.face_genuineness.mask_confidence", "low"),
    ("liveness_result.face_genuineness.mask_confidence", -0.1),
    ("liveness_result.face_genuineness.mask_threshold", 1.1),
    ("liveness_result.face_genuineness.face_replaced", False),
    ("verify_result", []),
    ("verify_result", "null"),
    ("verify_result.error_message", {}),
    ("verify_result.error_message", False),
    ("verify_result.verify_time", True),
    ("verify_result.result_ref1", 81.2),
    ("verify_result.result_ref1.confidence", True),
    ("verify_result.result_ref1.confidence", "nan"),
    ("verify_result.result_ref1.confidence", "inf"),
    ("verify_result.result_ref1.confidence", "1e999"),
    ("verify_result.result_ref1.confidence", " 81"),
    ("verify_result.result_ref1.confidence", "8_1"),
    ("verify_result.result_ref1.confidence", "0x51"),
    ("verify_result.result_ref1.confidence", "٨١"),
    ("verify_result.result_ref1.confidence", "1" * 41),
    ("verify_result.result_ref1.confidence", ""),
    ("verify_result.result_ref1.confidence", [81]),
    ("verify_result.result_ref1.confidence", {"float": 81}),
    ("verify_result.result_ref1.confidence", {"chain[constrained-str,constrained-float]": 81}),
    ("verify_result.result_ref1.confidence", 100.1),
    ("verify_result.result_ref1.confidence", "-1"),
    ("verify_result.result_ref1.thresholds", [64, 69]),
    ("verify_result.result_ref1.thresholds.1e-4", True),
    ("verify_result.result_ref1.thresholds.1e-4", "high"),
    ("multifaces_tag", True),
    ("multifaces_tag", {}),
    ("biz_info.biz_no", True),
    ("biz_info.biz_no", []),
    ("biz_info.biz_extra_data", {"a": 1}),
    ("request_id", []),
    ("time_used", "soon"),
]


@pytest.mark.parametrize(("path", "value"), WRONG)
def test_an_invalid_part_is_removed_and_named(path: str, value: Any) -> None:
    payload = callback(**{path.replace(".", "__"): value})
    assert payload.unreadable == (path,)
    assert payload.biz_id == BIZ_ID


def test_all_invalid_parts_are_named_together() -> None:
    payload = callback(status=1.5, multifaces_tag=[], verify_result__result_ref1__confidence=True, liveness_result=0)
    assert set(payload.unreadable) == {"multifaces_tag", "verify_result.result_ref1.confidence", "liveness_result"}
    assert payload.status == "1.5"


@pytest.mark.parametrize(
    "changes",
    [
        {"biz_info": REMOVED},
        {"biz_info": None},
        {"biz_info": "1462259748,52b1"},
        {"biz_info": []},
        {"biz_info": {}},
        {"biz_info__biz_id": REMOVED},
        {"biz_info__biz_id": None},
        {"biz_info__biz_id": ""},
        {"biz_info__biz_id": 1462259748},
        {"biz_info__biz_id": True},
        {"biz_info__biz_id": "has a space"},
        {"biz_info__biz_id": "line\nfeed"},
        {"biz_info__biz_id": "ends with\n"},
        {"biz_info__biz_id": "zero\x00"},
        {"biz_info__biz_id": "Ж"},
        {"biz_info__biz_id": "x" * 129},
    ],
)
def test_without_a_valid_biz_id_a_payload_is_invalid(changes: dict[str, Any]) -> None:
    with pytest.raises(InvalidPayload):
        callback(**changes)


@pytest.mark.parametrize("text", ["[]", '"x"', "1", "null", "true"])
def test_a_document_that_is_no_object_is_invalid(text: str) -> None:
    with pytest.raises(InvalidPayload):
        Payload.from_json(text)


def test_a_text_that_is_no_strict_json_raises_not_strict_json() -> None:
    with pytest.raises(NotStrictJson):
        Payload.from_json('{"biz_info": {"biz_id": "1"}, "biz_info": {"biz_id": "2"}}')


def test_the_flat_ids_of_a_sibling_product_are_read() -> None:
    text = next(vector["data"] for vector in SIGNATURES if vector["name"] == "wire-capture-2016")
    info = Payload.from_json(text).biz_info
    assert (info.biz_id, info.biz_no) == ("1469257536,9a135c16-51ac-4971-87b7-1c98fc6d11cd", "123")


def test_nested_ids_take_precedence_over_flat_ones() -> None:
    assert callback(biz_id="another").biz_id == BIZ_ID


def test_an_answer_without_a_biz_id_gets_the_id_asked_for() -> None:
    text = json.dumps(changed("clean-pass", biz_info=REMOVED))
    assert Payload.from_answer(text, "1,asked").biz_id == "1,asked"


def test_an_answer_may_have_only_the_other_ids() -> None:
    info = Payload.from_answer('{"biz_info": {"biz_no": "7"}}', "1,asked").biz_info
    assert (info.biz_id, info.biz_no) == ("1,asked", "7")


@pytest.mark.parametrize("info", [{"biz_id": BIZ_ID}, {"biz_id": 7}, [], "text"])
def test_of_an_answer_about_another_case_nothing_is_used(info: Any) -> None:
    answer = Payload.from_answer(json.dumps(changed("clean-pass", biz_info=info)), "1,asked")
    assert (answer.biz_id, answer.status, answer.unreadable) == ("1,asked", None, ("biz_info.biz_id",))


def with_text(old: str, new: str) -> Payload:
    """GetResult's answer, a passed verification, with a part of its text replaced."""
    text = json.dumps(CALLBACKS["clean-pass"])
    assert old in text
    return Payload.from_answer(text.replace(old, new, 1), BIZ_ID)


@pytest.mark.parametrize(
    "oddity",
    [
        '"extra": 1, "extra": 2, ',
        '"extra": NaN, ',
        '"extra": -Infinity, ',
        '"extra": 1e999, ',
        f'"extra": {"9" * 100}, ',
        '"extra": "\\ud800", ',
        '"\\ud800": 1, ',
        f'"extra": {"[" * 40 + "]" * 40}, ',
        f'"images": {{"image_best": "{"A" * 400_000}"}}, ',
    ],
    ids=["doubled", "NaN", "infinite", "too large", "endless", "surrogate", "surrogate key", "deep", "images"],
)
def test_an_odd_part_that_no_rule_reads_leaves_an_answer_as_it_is(oddity: str) -> None:
    answer = with_text('"status"', f'{oddity}"status"')
    assert (answer.status, answer.unreadable) == ("OK", ())
    assert answer.verify_result == callback().verify_result


@pytest.mark.parametrize(
    ("old", "new", "path"),
    [
        ('"status": "OK"', '"status": "OK", "status": "OK"', "status"),
        ('"result": "PASS"', '"result": "FAIL", "result": "PASS"', "liveness_result.result"),
        ('"confidence": 81.2', '"confidence": NaN', "verify_result.result_ref1.confidence"),
        ('"confidence": 81.2', '"confidence": 3, "confidence": 81.2', "verify_result.result_ref1.confidence"),
    ],
)
def test_an_ambiguous_part_of_an_answer_is_missing(old: str, new: str, path: str) -> None:
    assert path in with_text(old, new).unreadable


@pytest.mark.parametrize("text", ["", "<html>", "{", '{"a": 1} trailing', "[" * 100_000, "\ufeff{}"])
def test_a_text_that_is_no_json_raises_not_json(text: str) -> None:
    with pytest.raises(NotJson):
        Payload.from_answer(text, BIZ_ID)


def test_a_payload_can_not_set_the_list_of_invalid_parts() -> None:
    assert callback(unreadable=["status"]).unreadable == ()


def test_neither_repr_nor_error_shows_personal_data() -> None:
    payload = callback(biz_info__biz_extra_data="hunter2", images="hunter2")
    assert "hunter2" not in f"{payload!r} {payload} {payload.biz_info!r}"
    with pytest.raises(InvalidPayload) as raised:
        callback(biz_info__biz_id="hunter2 hunter2")
    assert "hunter2" not in repr(raised.value)


@pytest.mark.parametrize(
    ("status", "final"),
    [
        ("NOT_STARTED", False), ("PROCESSING", False), ("OK", True), ("FAILED", True), ("CANCELLED", True),
        ("TIMEOUT", True), ("WEBRTC_UNSUPPORTED", True), ("ARCHIVED", True), (None, True),
    ],
)  # fmt: skip
def test_only_two_statuses_leave_the_flow_open(status: str | None, final: bool) -> None:
    assert is_final(status) is final


PARTS = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 200) | st.floats(0, 200) | st.text(max_size=5) | st.just("PASS"),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["result", "x", "1e-4"]), inner),
    max_leaves=5,
)
PATHS = [path.replace(".", "__") for path in dict.fromkeys(path for path, _ in WRONG)]


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(st.sampled_from(PATHS), PARTS, max_size=4))
def test_an_invalid_part_never_loses_the_callback(parts: dict[str, Any]) -> None:
    payload = changed("clean-pass")
    for path, value in parts.items():
        *way, last = path.split("__")
        part: Any = payload
        for key in way:
            part = part.get(key) if isinstance(part, dict) else None
        if isinstance(part, dict):
            part[last] = value
    assert Payload.from_json(json.dumps(payload)).biz_id == BIZ_ID
