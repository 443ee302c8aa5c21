"""The classifier: which reasons and which outcome the evidence of a case gets."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.events.decision import Effect, Outcome, ReasonCode
from tests.support.payloads import BIZ_ID, CALLBACKS, REMOVED, SIGNATURES, callback
from workers.decisioning.classifier import Verdict, classify
from workers.decisioning.evidence import Evidence
from workers.decisioning.policy import Effects, Faces, Policy, Rate, Scores
from workers.faceid.payload import Payload

POLICY = Policy.load()
ALONE = Policy(version="liveness only", faces=Faces(liveness_only=True))
SCORES = "liveness_result.face_genuineness"
CONFIDENCE = "verify_result__result_ref1__confidence"


def classified(payload: Payload, policy: Policy = POLICY) -> Verdict:
    """The verdict on a payload that callback and GetResult agree on."""
    return classify(Evidence(payload, payload), policy)


def codes(verdict: Verdict) -> list[str]:
    return [reason.code.value for reason in verdict.reasons]


EXPECTED: dict[str, tuple[str, list[str]]] = {
    "clean-pass": ("APPROVED", ["FACE_MATCHED"]),
    "official-page-example": ("REJECTED", ["ATTACK_SYNTHETIC_FACE", "FACE_BETWEEN_THRESHOLDS"]),
    "flash-pass": ("APPROVED", ["FACE_MATCHED"]),
    "distance-pass": ("APPROVED", ["FACE_MATCHED"]),
    "liveness-fail": ("REJECTED", ["LIVENESS_FAILED"]),
    "between-1e-3-and-1e-4": ("REVIEW", ["FACE_BETWEEN_THRESHOLDS"]),
    "below-1e-3": ("REJECTED", ["FACE_BELOW_THRESHOLD"]),
    "exactly-at-1e-4": ("APPROVED", ["FACE_MATCHED"]),
    "mask-attack": ("REJECTED", ["FACE_MATCHED", "ATTACK_MASK"]),
    "mask-exactly-at-threshold": ("APPROVED", ["FACE_MATCHED"]),
    "screen-replay-attack": ("REJECTED", ["FACE_MATCHED", "ATTACK_SCREEN_REPLAY"]),
    "several-faces": ("REVIEW", ["FACE_MATCHED", "MULTIPLE_FACES"]),
    "no-face-found": ("REJECTED", ["NO_FACE_FOUND"]),
    "data-source-error": ("UNDETERMINED", ["DATA_SOURCE_ERROR"]),
    "internal-error": ("UNDETERMINED", ["VENDOR_INTERNAL_ERROR"]),
    "verify-null": ("UNDETERMINED", ["EVIDENCE_INCOMPLETE"]),
    "liveness-only": ("UNDETERMINED", ["EVIDENCE_INCOMPLETE"]),
    "two-refs": ("APPROVED", ["FACE_MATCHED", "FACE_MATCHED"]),
    "no-genuineness": ("REVIEW", ["FACE_MATCHED", "GENUINENESS_MISSING"]),
    "numbers-as-strings": ("APPROVED", ["FACE_MATCHED"]),
    "unknown-fields": ("APPROVED", ["FACE_MATCHED"]),
    "cancelled": ("INCOMPLETE", ["FLOW_CANCELLED"]),
    "timeout": ("INCOMPLETE", ["FLOW_TIMEOUT"]),
    "failed": ("INCOMPLETE", ["FLOW_FAILED"]),
    "webrtc-unsupported": ("INCOMPLETE", ["WEBRTC_UNSUPPORTED"]),
    "processing": ("UNDETERMINED", ["NOT_RECONCILED", "EVIDENCE_INCOMPLETE"]),
    "not-started": ("UNDETERMINED", ["NOT_RECONCILED", "EVIDENCE_INCOMPLETE"]),
    "unknown-status": ("UNDETERMINED", ["UNKNOWN_STATUS"]),
}


def test_every_vector_has_an_expected_verdict() -> None:
    assert set(EXPECTED) == set(CALLBACKS)


@pytest.mark.parametrize("name", EXPECTED)
def test_a_vector_gets_its_expected_verdict(name: str) -> None:
    verdict = classified(callback(name))
    assert (verdict.outcome, codes(verdict)) == EXPECTED[name]


def test_the_official_example_is_rejected_with_its_reasons() -> None:
    attack, face = classified(callback("official-page-example")).reasons
    assert (attack.field, attack.value, attack.limit) == (f"{SCORES}.synthetic_face_confidence", 0.88, 0.5)
    assert (face.field, face.value, face.limit) == ("verify_result.result_ref1.confidence", 68.918, (64.0, 69.0))
    assert (attack.effect, face.effect) == (Effect.REJECT, Effect.REVIEW)


def test_a_sibling_products_callback_is_undetermined() -> None:
    text = next(vector["data"] for vector in SIGNATURES if vector["name"] == "wire-capture-2016")
    verdict = classified(Payload.from_json(text))
    assert (verdict.outcome, codes(verdict)) == (Outcome.UNDETERMINED, ["EVIDENCE_INCOMPLETE"])
    assert verdict.reasons[0].field == "status"


@pytest.mark.parametrize("ok", ["ok", "Ok", "OK ", "PASS", "", "SUCCESS"])
def test_an_unknown_status_is_undetermined(ok: str) -> None:
    verdict = classified(callback(status=ok))
    assert (verdict.outcome, codes(verdict)) == (Outcome.UNDETERMINED, ["UNKNOWN_STATUS"])
    assert verdict.reasons[0].value == ok


@pytest.mark.parametrize("status", [REMOVED, None, ["OK"]])
def test_a_missing_status_is_incomplete_evidence(status: Any) -> None:
    verdict = classified(callback(status=status))
    assert (codes(verdict), verdict.reasons[0].field) == (["EVIDENCE_INCOMPLETE"], "status")


@pytest.mark.parametrize("reason", ["NETWORK_ERROR", "PERMISSIONS_ERROR", "SUPPORT_ERROR"])
def test_an_unsupported_browser_comes_with_its_reason(reason: str) -> None:
    (found,) = classified(callback("webrtc-unsupported", fail_reason=reason)).reasons
    assert (found.code, found.field, found.value) == ("WEBRTC_UNSUPPORTED", "fail_reason", reason)


def test_an_unsupported_browser_may_come_without_reason() -> None:
    (found,) = classified(callback("webrtc-unsupported", fail_reason=REMOVED)).reasons
    assert (found.code, found.field, found.value) == ("WEBRTC_UNSUPPORTED", "status", "WEBRTC_UNSUPPORTED")


@pytest.mark.parametrize("status", ["CANCELLED", "TIMEOUT", "FAILED", "WEBRTC_UNSUPPORTED"])
def test_a_flow_that_ended_early_is_incomplete_whatever_its_other_fields_say(status: str) -> None:
    verdict = classified(callback("official-page-example", status=status))
    assert verdict.outcome is Outcome.INCOMPLETE
    assert len(verdict.reasons) == 1


@pytest.mark.parametrize(
    ("confidence", "code"),
    [
        (79.9, "FACE_MATCHED"), (69.0, "FACE_MATCHED"), (69, "FACE_MATCHED"), ("69.0", "FACE_MATCHED"),
        (68.999999, "FACE_BETWEEN_THRESHOLDS"), (64.000001, "FACE_BETWEEN_THRESHOLDS"),
        (64, "FACE_BETWEEN_THRESHOLDS"), (63.999999, "FACE_BELOW_THRESHOLD"), (0, "FACE_BELOW_THRESHOLD"),
    ],
)  # fmt: skip
def test_a_confidence_equal_to_a_threshold_reaches_it(confidence: Any, code: str) -> None:
    assert codes(classified(callback(**{CONFIDENCE: confidence}))) == [code]


@pytest.mark.parametrize(
    "thresholds",
    [
        {"1e-3": 64, "1e-4": 69, "1e-5": 74, "1e-6": 79.9},
        {"1e-3": 62.169, "1e-4": 69.315, "1e-5": 74.399, "1e-6": 78.038},
        {"1e-3": 65.3, "1e-4": 71.8, "1e-5": 76.5, "1e-6": 79.9},
    ],
)
@pytest.mark.parametrize("rate", ["1e-3", "1e-4", "1e-5", "1e-6"])
def test_thresholds_are_those_of_the_payload_and_the_policys_rate(thresholds: dict[str, float], rate: Rate) -> None:
    policy = Policy(version="1", faces=Faces(approve_rate=rate))
    exact = {"verify_result__result_ref1": {"confidence": thresholds[rate], "thresholds": thresholds}}
    under = {"verify_result__result_ref1": {"confidence": thresholds[rate] - 0.001, "thresholds": thresholds}}
    (reason,) = classified(callback(**exact), policy).reasons
    assert (reason.code, reason.limit) == ("FACE_MATCHED", thresholds[rate])
    assert "FACE_MATCHED" not in codes(classified(callback(**under), policy))


def test_between_equal_rates_there_is_no_review() -> None:
    policy = Policy(version="1", faces=Faces(approve_rate="1e-3", review_rate="1e-3"))
    assert codes(classified(callback(**{CONFIDENCE: 64}), policy)) == ["FACE_MATCHED"]
    assert codes(classified(callback(**{CONFIDENCE: 63.999}), policy)) == ["FACE_BELOW_THRESHOLD"]


@pytest.mark.parametrize(
    ("confidence", "code"),
    [
        (69.3, "FACE_MATCHED"),
        (69.299, "FACE_BETWEEN_THRESHOLDS"),
        (64.3, "FACE_BETWEEN_THRESHOLDS"),
        (64.299, "FACE_BELOW_THRESHOLD"),
    ],
)
def test_a_margin_raises_both_face_thresholds(confidence: float, code: str) -> None:
    policy = Policy(version="1", faces=Faces(margin=0.3))
    assert codes(classified(callback(**{CONFIDENCE: confidence}), policy)) == [code]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({CONFIDENCE: REMOVED}, "verify_result.result_ref1.confidence"),
        ({CONFIDENCE: None}, "verify_result.result_ref1.confidence"),
        ({CONFIDENCE: True}, "verify_result.result_ref1.confidence"),
        ({CONFIDENCE: 101}, "verify_result.result_ref1.confidence"),
        ({"verify_result__result_ref1__thresholds": REMOVED}, "verify_result.result_ref1.thresholds.1e-4"),
        ({"verify_result__result_ref1__thresholds__1e-4": REMOVED}, "verify_result.result_ref1.thresholds.1e-4"),
        ({"verify_result__result_ref1__thresholds__1e-4": None}, "verify_result.result_ref1.thresholds.1e-4"),
        ({"verify_result__result_ref1__thresholds__1e-4": 0}, "verify_result.result_ref1.thresholds.1e-4"),
        ({"verify_result__result_ref1__thresholds__1e-4": "high"}, "verify_result.result_ref1.thresholds.1e-4"),
        ({"verify_result__result_ref1__thresholds__1e-3": REMOVED}, "verify_result.result_ref1.thresholds.1e-3"),
        ({"verify_result__result_ref1__thresholds__1e-3": 70}, "verify_result.result_ref1.thresholds"),
        ({"verify_result__result_ref1": REMOVED}, "verify_result"),
        ({"verify_result__result_ref1": None}, "verify_result"),
        ({"verify_result": {}}, "verify_result"),
        ({"verify_result": None}, "verify_result"),
        ({"verify_result": REMOVED}, "verify_result"),
        ({"verify_result": []}, "verify_result"),
        ({"verify_result__error_message": "A_NEW_ERROR"}, "verify_result.error_message"),
        ({"verify_result__error_message": False}, "verify_result.error_message"),
        ({"liveness_result": REMOVED}, "liveness_result"),
        ({"liveness_result": "PASS"}, "liveness_result"),
        ({"liveness_result__result": REMOVED}, "liveness_result.result"),
        ({"liveness_result__result": "success"}, "liveness_result.result"),
        ({"liveness_result__result": True}, "liveness_result.result"),
        ({"multifaces_tag": True}, "multifaces_tag"),
    ],
)
def test_missing_numbers_are_undetermined(changes: dict[str, Any], field: str) -> None:
    verdict = classified(callback(**changes))
    assert verdict.outcome is Outcome.UNDETERMINED
    assert [reason.field for reason in verdict.reasons if reason.code == "EVIDENCE_INCOMPLETE"] == [field]


def test_an_invalid_score_is_missing_and_incomplete() -> None:
    verdict = classified(callback(liveness_result__face_genuineness__mask_confidence=True))
    assert codes(verdict) == ["FACE_MATCHED", "GENUINENESS_MISSING", "EVIDENCE_INCOMPLETE"]
    relaxed = Policy(version="1", genuineness=Scores(required=False))
    verdict = classified(callback(liveness_result__face_genuineness="fine"), relaxed)
    assert (verdict.outcome, codes(verdict)) == (Outcome.UNDETERMINED, ["FACE_MATCHED", "EVIDENCE_INCOMPLETE"])


@pytest.mark.parametrize(
    "changes",
    [
        {"liveness_result__details": "none"},
        {"liveness_result__details__NO_AUDIO": True},
        {"verify_result__verify_time": "noon"},
        {"biz_info__biz_no": []},
        {"time_used": {}},
    ],
)
def test_an_invalid_part_that_no_rule_reads_does_not_matter(changes: dict[str, Any]) -> None:
    assert classified(callback(**changes)).outcome is Outcome.APPROVED


@pytest.mark.parametrize(
    ("kind", "code"),
    [("synthetic_face", "ATTACK_SYNTHETIC_FACE"), ("mask", "ATTACK_MASK"), ("screen_replay", "ATTACK_SCREEN_REPLAY")],
)
class TestSpoofScores:
    def test_a_score_above_its_threshold_is_an_attack(self, kind: str, code: str) -> None:
        verdict = classified(callback(**{f"liveness_result__face_genuineness__{kind}_confidence": 0.500001}))
        assert (verdict.outcome, codes(verdict)) == (Outcome.REJECTED, ["FACE_MATCHED", code])
        assert (verdict.reasons[1].value, verdict.reasons[1].limit) == (0.500001, 0.5)

    def test_a_score_equal_to_its_threshold_is_not_an_attack(self, kind: str, code: str) -> None:
        assert codes(classified(callback(**{f"liveness_result__face_genuineness__{kind}_confidence": "0.50"}))) == [
            "FACE_MATCHED"
        ]

    def test_a_margin_lowers_the_threshold(self, kind: str, code: str) -> None:
        policy = Policy(version="1", genuineness=Scores(margin=0.1))
        path = f"liveness_result__face_genuineness__{kind}_confidence"
        low = {f"liveness_result__face_genuineness__{other}_confidence": 0 for other in ("synthetic_face", "mask")}
        assert classified(callback(**{**low, path: 0.4}), policy).outcome is Outcome.APPROVED
        assert codes(classified(callback(**{**low, path: 0.401}), policy)) == ["FACE_MATCHED", code]

    @pytest.mark.parametrize("part", ["confidence", "threshold"])
    def test_a_missing_score_is_reviewed(self, kind: str, code: str, part: str) -> None:
        verdict = classified(callback(**{f"liveness_result__face_genuineness__{kind}_{part}": REMOVED}))
        assert (verdict.outcome, codes(verdict)) == (Outcome.REVIEW, ["FACE_MATCHED", "GENUINENESS_MISSING"])
        assert verdict.reasons[1].field == f"{SCORES}.{kind}_{part}"

    def test_a_missing_score_passes_where_none_is_required(self, kind: str, code: str) -> None:
        policy = Policy(version="1", genuineness=Scores(required=False))
        verdict = classified(callback(**{f"liveness_result__face_genuineness__{kind}_confidence": None}), policy)
        assert codes(verdict) == ["FACE_MATCHED"]


@pytest.mark.parametrize("threshold", [0.12345678949, 0.1 + 0.2, 1 / 3])
def test_equality_holds_to_the_last_digit(threshold: float) -> None:
    scores = {"mask_confidence": threshold, "mask_threshold": threshold}
    clean = {**CALLBACKS["clean-pass"]["liveness_result"]["face_genuineness"], **scores}
    face = {"confidence": threshold, "thresholds": {"1e-3": threshold, "1e-4": threshold}}
    payload = callback(liveness_result__face_genuineness=clean, verify_result__result_ref1=face)
    assert codes(classified(payload)) == ["FACE_MATCHED"]


def test_a_margin_greater_than_a_threshold_still_lets_a_zero_pass() -> None:
    policy = Policy(version="1", genuineness=Scores(margin=1.0))
    zero = {f"liveness_result__face_genuineness__{kind}_confidence": 0 for kind in ("synthetic_face", "mask")}
    assert classified(callback(**zero), policy).outcome is Outcome.APPROVED


@pytest.mark.parametrize(("flag", "attacked"), [(0, False), (1, True), ("1", True), (1.0, True), (None, False)])
def test_a_replaced_face_is_an_attack(flag: Any, attacked: bool) -> None:
    verdict = classified(callback(liveness_result__face_genuineness__face_replaced=flag))
    assert ("ATTACK_FACE_REPLACED" in codes(verdict)) is attacked
    assert (verdict.outcome is Outcome.REJECTED) is attacked


def test_an_attack_counts_although_liveness_passed() -> None:
    """With fmp_mode=1 the vendor leaves the scores out of the liveness result."""
    verdict = classified(callback("mask-attack", liveness_result__result="PASS"))
    assert verdict.outcome is Outcome.REJECTED


@pytest.mark.parametrize(
    ("tag", "several"), [("0", False), (0, False), (0.0, False), (REMOVED, False), ("1", True), (1, True), ("2", True)]
)
def test_several_faces_are_reviewed(tag: Any, several: bool) -> None:
    assert ("MULTIPLE_FACES" in codes(classified(callback(multifaces_tag=tag)))) is several


def test_the_worst_of_several_comparisons_decides() -> None:
    low = {"confidence": 12.5, "thresholds": {"1e-3": 62.169, "1e-4": 69.315}}
    verdict = classified(callback("two-refs", verify_result__result_ref2=low))
    assert (verdict.outcome, codes(verdict)) == (Outcome.REJECTED, ["FACE_MATCHED", "FACE_BELOW_THRESHOLD"])
    assert verdict.reasons[1].field == "verify_result.result_ref2.confidence"


def test_only_the_comparisons_that_the_policy_names_must_match() -> None:
    policy = Policy(version="1", faces=Faces(required=("result_ref2",)))
    verdict = classified(callback("two-refs", verify_result__result_ref1={"confidence": 0}), policy)
    assert [(reason.code, reason.field) for reason in verdict.reasons] == [
        ("FACE_MATCHED", "verify_result.result_ref2.confidence")
    ]


def test_a_missing_comparison_that_the_policy_names_is_incomplete_evidence() -> None:
    policy = Policy(version="1", faces=Faces(required=("result_ref1", "result_ref2")))
    verdict = classified(callback(), policy)
    assert (verdict.outcome, codes(verdict)) == (Outcome.UNDETERMINED, ["FACE_MATCHED", "EVIDENCE_INCOMPLETE"])
    assert verdict.reasons[1].field == "verify_result.result_ref2"


@pytest.mark.parametrize("name", ["liveness-only", "verify-null"])
def test_liveness_alone_approves_only_where_the_policy_says_so(name: str) -> None:
    verdict = classified(callback(name), ALONE)
    assert (verdict.outcome, codes(verdict)) == (Outcome.APPROVED, ["LIVENESS_ONLY"])
    assert classified(callback(name)).outcome is Outcome.UNDETERMINED


def test_a_liveness_only_policy_still_rejects_a_bad_comparison() -> None:
    assert classified(callback("below-1e-3"), ALONE).outcome is Outcome.REJECTED
    assert classified(callback(verify_result={}), ALONE).outcome is Outcome.UNDETERMINED
    assert classified(callback(verify_result=[]), ALONE).outcome is Outcome.UNDETERMINED
    assert codes(classified(callback("liveness-fail"), ALONE)) == ["LIVENESS_FAILED"]
    assert codes(classified(callback("liveness-only", liveness_result=REMOVED), ALONE)) == ["EVIDENCE_INCOMPLETE"]


@pytest.mark.parametrize(
    ("message", "code", "outcome"),
    [
        ("NO_FACE_FOUND", "NO_FACE_FOUND", "REJECTED"),
        ("DATA_SOURCE_ERROR", "DATA_SOURCE_ERROR", "UNDETERMINED"),
        ("INTERNAL_ERROR", "VENDOR_INTERNAL_ERROR", "UNDETERMINED"),
        ("A_NEW_ERROR", "EVIDENCE_INCOMPLETE", "UNDETERMINED"),
    ],
)
def test_an_error_of_the_comparison_takes_precedence_over_a_match(message: str, code: str, outcome: str) -> None:
    verdict = classified(callback(verify_result__error_message=message))
    assert (verdict.outcome, codes(verdict)) == (outcome, ["FACE_MATCHED", code])
    assert (verdict.reasons[1].field, verdict.reasons[1].value) == ("verify_result.error_message", message)


@pytest.mark.parametrize("message", [None, ""])
def test_no_error_message_is_no_error(message: str | None) -> None:
    assert classified(callback(verify_result__error_message=message)).outcome is Outcome.APPROVED


def test_all_reasons_are_listed_in_the_fixed_order() -> None:
    payload = callback(
        "two-refs",
        liveness_result__result="FAIL",
        liveness_result__face_genuineness={
            "mask_confidence": 0.9, "mask_threshold": 0.5, "synthetic_face_confidence": 0.9,
            "synthetic_face_threshold": 0.5, "face_replaced": 1,
        },
        verify_result__error_message="NO_FACE_FOUND",
        verify_result__result_ref1__confidence=65,
        multifaces_tag="1",
    )  # fmt: skip
    verdict = classify(Evidence(payload, None, "DATA_DESTROYED"), POLICY)
    assert codes(verdict) == [
        "FACE_MATCHED", "LIVENESS_FAILED", "ATTACK_SYNTHETIC_FACE", "ATTACK_MASK", "ATTACK_FACE_REPLACED",
        "NO_FACE_FOUND", "FACE_BETWEEN_THRESHOLDS", "MULTIPLE_FACES", "GENUINENESS_MISSING", "NOT_RECONCILED",
    ]  # fmt: skip
    assert verdict.outcome is Outcome.REJECTED


@pytest.mark.parametrize("refusal", ["RESULT_NOT_FOUND", "DATA_DESTROYED", "BUDGET_SPENT"])
def test_a_signed_callback_alone_is_reviewed(refusal: str) -> None:
    verdict = classify(Evidence(callback(), None, refusal), POLICY)
    assert (verdict.outcome, codes(verdict)) == (Outcome.REVIEW, ["FACE_MATCHED", "NOT_RECONCILED"])
    assert (verdict.reconciled, verdict.reasons[1].field, verdict.reasons[1].value) == (False, "get_result", refusal)


def test_a_policy_may_trust_the_signed_callback_alone() -> None:
    policy = Policy(version="1", effects=Effects(NOT_RECONCILED=Effect.APPROVE))
    verdict = classify(Evidence(callback(), None, "DATA_DESTROYED"), policy)
    assert (verdict.outcome, verdict.reconciled) == (Outcome.APPROVED, False)
    assert codes(verdict) == ["FACE_MATCHED", "NOT_RECONCILED"]


def test_without_reconciling_a_missing_answer_is_no_finding() -> None:
    verdict = classify(Evidence(callback(), None, reconcile=False), POLICY)
    assert (verdict.outcome, codes(verdict), verdict.reconciled) == (Outcome.APPROVED, ["FACE_MATCHED"], False)


def test_a_cancelled_flow_needs_no_confirmation() -> None:
    verdict = classify(Evidence(callback("cancelled"), None, "DATA_DESTROYED"), POLICY)
    assert (verdict.outcome, codes(verdict)) == (Outcome.INCOMPLETE, ["NOT_RECONCILED", "FLOW_CANCELLED"])


@pytest.mark.parametrize("refusal", ["RESULT_NOT_FOUND", "DATA_DESTROYED", "BUDGET_SPENT", None])
def test_lost_evidence_is_undetermined(refusal: str | None) -> None:
    verdict = classify(Evidence(None, None, refusal), POLICY)
    assert (verdict.outcome, codes(verdict)) == (Outcome.UNDETERMINED, ["EVIDENCE_LOST"])
    assert (verdict.reasons[0].value, verdict.reconciled, verdict.status) == (refusal, False, None)


def test_an_internal_error_of_getresult_is_undetermined() -> None:
    assert codes(classify(Evidence(None, None, "INTERNAL_ERROR"), POLICY)) == ["VENDOR_INTERNAL_ERROR"]


def test_getresults_answer_is_classified_rather_than_the_callback() -> None:
    verdict = classify(Evidence(callback("clean-pass"), callback("mask-attack")), POLICY)
    assert (verdict.outcome, verdict.reconciled) == (Outcome.REJECTED, True)
    assert codes(verdict) == ["FACE_MATCHED", "ATTACK_MASK", "EVIDENCE_MISMATCH"]
    assert verdict.reasons[2].field == f"{SCORES}.mask_confidence"


def test_evidence_that_disagrees_is_never_approved() -> None:
    other = callback(verify_result__result_ref1__confidence=99, biz_info__biz_no="another")
    verdict = classify(Evidence(callback(), other), POLICY)
    assert (verdict.outcome, codes(verdict)) == (Outcome.REVIEW, ["FACE_MATCHED", "EVIDENCE_MISMATCH"])
    assert verdict.reasons[1].field == "biz_info.biz_no, verify_result.result_ref1.confidence"
    assert verdict.reasons[1].value is None


OVERLOOKED: list[tuple[dict[str, Any], dict[str, Any], Policy, str]] = [
    ({f"{SCORES.replace('.', '__')}__face_replaced": 1}, {}, POLICY, f"{SCORES}.face_replaced"),
    ({"multifaces_tag": "1"}, {"multifaces_tag": REMOVED}, POLICY, "multifaces_tag"),
    (
        {"verify_result__result_ref2": {"confidence": 3, "thresholds": {"1e-3": 64, "1e-4": 69}}},
        {},
        POLICY,
        "verify_result.result_ref2.confidence",
    ),
    ({"verify_result__result_ref2": {"confidence": 3}}, {}, POLICY, "verify_result.result_ref2.thresholds.1e-4"),
    (
        {f"{SCORES.replace('.', '__')}__mask_confidence": 0.99},
        {SCORES.replace(".", "__"): REMOVED},
        Policy(version="1", genuineness=Scores(required=False)),
        f"{SCORES}.mask_confidence",
    ),
    ({CONFIDENCE: 1}, {"verify_result": None}, ALONE, "verify_result.result_ref1.confidence"),
    (
        {"verify_result": {"error_message": "NO_FACE_FOUND"}},
        {"verify_result": REMOVED},
        ALONE,
        "verify_result.error_message",
    ),
    ({f"{SCORES.replace('.', '__')}__face_replaced": "odd"}, {}, POLICY, f"{SCORES}.face_replaced"),
]


@pytest.mark.parametrize(("posted", "answered", "policy", "path"), OVERLOOKED, ids=[row[3] for row in OVERLOOKED])
def test_a_finding_in_the_callback_that_getresult_is_silent_on_is_a_mismatch(
    posted: dict[str, Any], answered: dict[str, Any], policy: Policy, path: str
) -> None:
    verdict = classify(Evidence(callback(**posted), callback(**answered)), policy)
    assert verdict.outcome is Outcome.REVIEW
    assert [reason.field for reason in verdict.reasons if reason.code == "EVIDENCE_MISMATCH"] == [path]
    assert classify(Evidence(callback(**answered), callback(**answered)), policy).outcome is Outcome.APPROVED


def test_a_thin_callback_is_approved_on_getresults_answer() -> None:
    thin = Payload.from_json(json.dumps({"status": "OK", "biz_info": {"biz_id": BIZ_ID}}))
    assert codes(classify(Evidence(thin, callback()), POLICY)) == ["FACE_MATCHED"]


def test_a_finding_that_the_policy_approves_is_no_mismatch() -> None:
    policy = Policy(version="1", effects=Effects(MULTIPLE_FACES=Effect.APPROVE))
    evidence = Evidence(callback(multifaces_tag="1"), callback(multifaces_tag=REMOVED))
    assert codes(classify(evidence, policy)) == ["FACE_MATCHED"]


@pytest.mark.parametrize("result", [callback(), None])
def test_a_later_callback_that_contradicts_prevents_approval(result: Payload | None) -> None:
    evidence = Evidence(callback(), result, reconcile=False, later=(callback("liveness-fail"),))
    assert codes(classify(evidence, POLICY)) == ["FACE_MATCHED", "EVIDENCE_MISMATCH"]


@pytest.mark.parametrize(
    ("result", "expected"),
    [(callback(), ["FACE_MATCHED", "EVIDENCE_MISMATCH"]), (None, ["EVIDENCE_MISMATCH", "NOT_RECONCILED"])],
)
@pytest.mark.parametrize("name", ["clean-pass", "liveness-fail"])
def test_a_case_with_signed_evidence_that_is_not_stored_is_never_approved(
    name: str, result: Payload | None, expected: list[str]
) -> None:
    verdict = classify(Evidence(callback(name), result, "EVIDENCE_DROPPED", unseen=True), POLICY)
    assert (verdict.outcome, codes(verdict)) == (Outcome.REVIEW, expected)
    assert "callbacks_not_stored" in (verdict.reasons[-1].field, verdict.reasons[0].field) or name == "liveness-fail"


def test_an_unsigned_return_is_classified_by_getresults_answer() -> None:
    verdict = classify(Evidence(None, callback()), POLICY)
    assert (verdict.outcome, verdict.reconciled, codes(verdict)) == (Outcome.APPROVED, True, ["FACE_MATCHED"])


def test_an_answer_that_is_not_final_is_not_classified() -> None:
    verdict = classify(Evidence(callback(), callback("processing")), POLICY)
    assert (verdict.reconciled, codes(verdict)) == (False, ["FACE_MATCHED", "NOT_RECONCILED"])
    assert verdict.reasons[1].value == "PROCESSING"


def test_an_early_callback_does_not_contradict_the_answer() -> None:
    verdict = classify(Evidence(callback("processing"), callback()), POLICY)
    assert (verdict.outcome, codes(verdict)) == (Outcome.APPROVED, ["FACE_MATCHED"])


def test_a_flow_that_never_ends_is_undetermined() -> None:
    verdict = classify(Evidence(None, callback("processing")), POLICY)
    assert (verdict.outcome, codes(verdict)) == (Outcome.UNDETERMINED, ["EVIDENCE_INCOMPLETE"])
    assert (verdict.reasons[0].field, verdict.reasons[0].value) == ("status", "PROCESSING")


@pytest.mark.parametrize(
    ("effects", "outcome"),
    [
        ((Effect.REJECT, Effect.UNDETERMINED, Effect.REVIEW), "REJECTED"),
        ((Effect.REVIEW, Effect.UNDETERMINED, Effect.REVIEW), "UNDETERMINED"),
        ((Effect.REVIEW, Effect.REVIEW, Effect.REVIEW), "REVIEW"),
    ],
)
def test_the_strongest_effect_decides(effects: tuple[Any, Any, Any], outcome: str) -> None:
    mask, incomplete, several = effects
    policy = Policy(
        version="1", effects=Effects(ATTACK_MASK=mask, EVIDENCE_INCOMPLETE=incomplete, MULTIPLE_FACES=several)
    )
    verdict = classified(callback("mask-attack", verify_result=REMOVED, multifaces_tag="1"), policy)
    assert codes(verdict) == ["ATTACK_MASK", "MULTIPLE_FACES", "EVIDENCE_INCOMPLETE"]
    assert verdict.outcome == outcome


def test_a_verdict_shows_the_classified_payload() -> None:
    verdict = classified(callback("two-refs"))
    assert verdict.status == "OK"
    assert verdict.liveness is not None
    assert (verdict.liveness.result, verdict.liveness.procedure_type) == ("PASS", "still")
    assert verdict.liveness.details["UPLOAD_TIMES"] == 5
    assert verdict.genuineness is not None
    assert verdict.genuineness.mask_confidence == 0.32
    assert [(face.ref, face.confidence) for face in verdict.faces] == [("result_ref1", 81.2), ("result_ref2", 71.0)]
    assert (verdict.biz_no, verdict.biz_extra_data) == ("cc47190f-502-44a2-ab74-ea4f0f649f61", "...")


def test_a_verdict_shows_absent_parts_as_absent() -> None:
    verdict = classified(callback("cancelled"))
    assert (verdict.liveness, verdict.genuineness, verdict.faces) == (None, None, ())


def test_the_customers_ids_come_from_the_callback_if_there_is_one() -> None:
    result = callback(biz_info={"biz_id": BIZ_ID})
    assert classify(Evidence(callback(), result), POLICY).biz_no == "cc47190f-502-44a2-ab74-ea4f0f649f61"


def test_a_long_value_is_cut_in_a_reason() -> None:
    for changes in ({"status": "X" * 9999}, {"liveness_result__result": "X" * 9999}, {"multifaces_tag": "X" * 9999}):
        reasons = classified(callback(**changes)).reasons
        assert any(reason.value == "X" * 64 for reason in reasons)


def test_every_reason_can_be_reached() -> None:
    verdicts = [classified(callback(name)) for name in CALLBACKS]
    verdicts += [
        classified(callback("liveness-only"), ALONE),
        classified(callback(liveness_result__face_genuineness__face_replaced=1)),
        classify(Evidence(callback(), callback("mask-attack")), POLICY),
        classify(Evidence(callback(), None, "BUDGET_SPENT"), POLICY),
        classify(Evidence(None, None, "DATA_DESTROYED"), POLICY),
    ]
    assert {reason.code for verdict in verdicts for reason in verdict.reasons} == set(ReasonCode)
    assert {verdict.outcome for verdict in verdicts} == set(Outcome)


VALUES = st.none() | st.booleans() | st.integers(-1, 101) | st.floats(0, 100) | st.sampled_from(
    ["PASS", "FAIL", "OK", "0", "1", "70", "x", "NO_FACE_FOUND"]
)  # fmt: skip
PATHS = [
    "status", "liveness_result", "liveness_result__result", "liveness_result__face_genuineness",
    "liveness_result__face_genuineness__mask_confidence", "liveness_result__face_genuineness__mask_threshold",
    "liveness_result__face_genuineness__face_replaced", "verify_result", "verify_result__error_message",
    "verify_result__result_ref1", "verify_result__result_ref1__confidence", "verify_result__result_ref2",
    "verify_result__result_ref1__thresholds", "verify_result__result_ref1__thresholds__1e-4",
    "verify_result__result_ref1__thresholds__1e-3", "multifaces_tag",
]  # fmt: skip
POLICIES = [
    POLICY,
    ALONE,
    Policy(version="1", genuineness=Scores(required=False)),
    Policy(version="1", faces=Faces(required=("result_ref2",))),
    Policy(
        version="lax",
        faces=Faces(approve_rate="1e-3", liveness_only=True),
        genuineness=Scores(required=False),
        effects=Effects(NOT_RECONCILED=Effect.APPROVE, MULTIPLE_FACES=Effect.APPROVE),
    ),
]


def with_values(changes: list[tuple[str, Any]]) -> Payload:
    payload = json.loads(json.dumps(CALLBACKS["clean-pass"]))
    for path, value in changes:
        *way, last = path.split("__")
        part: Any = payload
        for key in way:
            part = part.get(key) if isinstance(part, dict) else None
        if isinstance(part, dict):
            part[last] = value
    return Payload.from_json(json.dumps(payload))


CHANGES = st.lists(st.tuples(st.sampled_from(PATHS), VALUES), max_size=4)


@settings(max_examples=300, deadline=None)
@given(CHANGES, CHANGES, st.sampled_from(["both", "callback", "result"]), st.sampled_from(POLICIES))
def test_nothing_is_approved_without_a_live_person_and_a_match(
    callback_values: list[tuple[str, Any]], result_values: list[tuple[str, Any]], which: str, policy: Policy
) -> None:
    evidence = Evidence(
        with_values(callback_values) if which != "result" else None,
        with_values(result_values) if which != "callback" else None,
        "BUDGET_SPENT",
    )
    verdict = classify(evidence, policy)
    assert verdict == classify(evidence, policy)
    assert verdict.reasons
    if verdict.outcome is Outcome.APPROVED:
        assert verdict.status == "OK"
        assert verdict.liveness is not None
        assert verdict.liveness.result == "PASS"
        assert {"FACE_MATCHED", "LIVENESS_ONLY"} & set(codes(verdict))
        assert all(reason.effect is Effect.APPROVE for reason in verdict.reasons)
