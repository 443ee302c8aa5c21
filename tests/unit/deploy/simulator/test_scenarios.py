"""The documents that FaceID sends for each scenario."""

from typing import Any, cast

import pytest

from deploy.simulator.model.scenarios import COUNTERS, SCENARIOS, DocumentOptions, Procedure, document

OPTIONS = DocumentOptions(
    biz_id="1462259748,52b13fb5", biz_no="cc47190f", biz_extra_data="...", multifaces_tag_wanted=True
)
UNMARKED = DocumentOptions(biz_id="1462259748,52b13fb5", biz_no="cc47190f", attack_fails_liveness=False)


def data(scenario: str, options: DocumentOptions = OPTIONS, verify_time: int | None = None) -> dict[str, Any]:
    return cast(dict[str, Any], document(options, SCENARIOS[scenario].evidence, verify_time))


def test_a_pass_has_the_fields_of_the_official_page_in_order() -> None:
    passed = data("pass", verify_time=1462259763)
    assert list(passed) == ["status", "biz_info", "liveness_result", "verify_result", "multifaces_tag"]
    assert passed["biz_info"] == {"biz_extra_data": "...", "biz_id": OPTIONS.biz_id, "biz_no": "cc47190f"}
    assert list(passed["liveness_result"]) == ["result", "procedure_type", "details", "face_genuineness"]
    assert passed["verify_result"] == {
        "verify_time": 1462259763,
        "result_ref1": {"confidence": 81.2, "thresholds": {"1e-3": 64, "1e-4": 69, "1e-5": 74, "1e-6": 79.9}},
    }


@pytest.mark.parametrize("procedure", COUNTERS)
def test_each_procedure_has_its_counters(procedure: Procedure) -> None:
    liveness = data("pass", DocumentOptions("b", "n", procedure=procedure))["liveness_result"]
    assert liveness["procedure_type"] == procedure
    assert tuple(liveness["details"]) == COUNTERS[procedure]


@pytest.mark.parametrize(
    ("scenario", "kind"),
    [("synthetic-attack", "synthetic_face"), ("mask-attack", "mask"), ("screen-replay-attack", "screen_replay")],
)
def test_an_attack_is_a_confidence_above_its_threshold(scenario: str, kind: str) -> None:
    scores = data(scenario)["liveness_result"]["face_genuineness"]
    above = [name for name in ("synthetic_face", "mask", "screen_replay") if is_above(scores, name)]
    assert above == [kind]


def is_above(scores: dict[str, float], kind: str) -> bool:
    return scores[f"{kind}_confidence"] > scores[f"{kind}_threshold"]


def test_a_replaced_face_sets_face_replaced() -> None:
    assert data("face-replaced-attack")["liveness_result"]["face_genuineness"]["face_replaced"] == 1


@pytest.mark.parametrize(("options", "result"), [(OPTIONS, "FAIL"), (UNMARKED, "PASS")])
def test_an_attack_fails_the_liveness_check_except_with_fmp_mode_1(options: DocumentOptions, result: str) -> None:
    assert data("mask-attack", options)["liveness_result"]["result"] == result


def test_a_score_equal_to_its_threshold_is_not_an_attack() -> None:
    liveness = data("mask-at-threshold")["liveness_result"]
    assert liveness["face_genuineness"]["mask_confidence"] == liveness["face_genuineness"]["mask_threshold"]
    assert liveness["result"] == "PASS"


@pytest.mark.parametrize(
    ("scenario", "confidences"),
    [
        ("face-between", [66.0]),
        ("face-at-threshold", [69]),
        ("face-below", [12.5]),
        ("two-refs", [81.2, 71.0]),
        ("two-refs-one-below", [81.2, 12.5]),
    ],
)
def test_every_reference_photo_has_its_confidence_and_thresholds(scenario: str, confidences: list[float]) -> None:
    verify = data(scenario)["verify_result"]
    assert [verify[f"result_ref{number + 1}"]["confidence"] for number in range(len(confidences))] == confidences
    assert all(set(ref["thresholds"]) == {"1e-3", "1e-4", "1e-5", "1e-6"} for ref in verify.values())


@pytest.mark.parametrize(
    ("scenario", "message"),
    [
        ("no-face", "NO_FACE_FOUND"),
        ("data-source-error", "DATA_SOURCE_ERROR"),
        ("internal-error", "INTERNAL_ERROR"),
    ],
)
def test_a_failed_comparison_has_only_an_error_message(scenario: str, message: str) -> None:
    assert data(scenario, verify_time=1)["verify_result"] == {"error_message": message}


def test_verify_result_may_be_null_or_absent() -> None:
    assert data("verify-null")["verify_result"] is None
    assert "verify_result" not in data("liveness-only")
    assert "verify_result" not in data("liveness-fail")
    assert "verify_result" not in data("pass", DocumentOptions("b", "n", compared=False))


@pytest.mark.parametrize(
    ("scenario", "status"),
    [
        ("cancelled", "CANCELLED"),
        ("timeout", "TIMEOUT"),
        ("failed", "FAILED"),
        ("webrtc-unsupported", "WEBRTC_UNSUPPORTED"),
        ("processing", "PROCESSING"),
        ("not-started", "NOT_STARTED"),
        ("unknown-status", "ARCHIVED"),
    ],
)
def test_an_unfinished_flow_has_no_results(scenario: str, status: str) -> None:
    assert set(data(scenario)) == {"status", "biz_info"}
    assert data(scenario)["status"] == status


@pytest.mark.parametrize(
    ("scenario", "reason"),
    [
        ("webrtc-unsupported", "SUPPORT_ERROR"),
        ("webrtc-no-camera", "PERMISSIONS_ERROR"),
        ("webrtc-no-network", "NETWORK_ERROR"),
    ],
)
def test_the_fail_reason_is_sent_only_on_request(scenario: str, reason: str) -> None:
    assert data(scenario, DocumentOptions("b", "n", fail_reason_wanted=True))["fail_reason"] == reason
    assert "fail_reason" not in data(scenario)


@pytest.mark.parametrize(("scenario", "tag"), [("pass", "0"), ("several-faces", "1")])
def test_the_multifaces_tag_is_sent_only_on_request(scenario: str, tag: str) -> None:
    assert data(scenario)["multifaces_tag"] == tag
    assert "multifaces_tag" not in data(scenario, UNMARKED)


def test_numbers_as_strings_has_no_numbers() -> None:
    def numbers(value: object) -> list[object]:
        if isinstance(value, dict):
            return [number for part in value.values() for number in numbers(part)]
        return [value] if isinstance(value, int | float) else []

    assert numbers(data("numbers-as-strings", verify_time=1)) == []
    assert data("numbers-as-strings")["verify_result"]["result_ref1"]["confidence"] == "81.2"


def test_unknown_fields_are_added_at_the_top_and_inside() -> None:
    unknown = data("unknown-fields")
    assert unknown["risk_score"] == {"v": 1}
    assert unknown["liveness_result"]["shiny_new"] is True


def test_the_vendors_misspelt_counter_replaces_the_right_one() -> None:
    counters = data("misspelt-counter")["liveness_result"]["details"]
    assert "VIDOE_FORMAT_UNSUPPORTED" in counters
    assert "VIDEO_FORMAT_UNSUPPORTED" not in counters
