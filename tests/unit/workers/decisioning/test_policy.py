"""The policy file: what it accepts, how it reports faults, and how it is described."""

from pathlib import Path

import pytest

from shared.events.decision import Effect, ReasonCode
from workers.decisioning.policy import DEFAULT, Effects, Faces, Policy, PolicyError, Scores, explain


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "policy.toml"


def faults(file: Path, text: str) -> list[str]:
    file.write_text(text, encoding="utf-8")
    with pytest.raises(PolicyError) as raised:
        Policy.load(file)
    return raised.value.faults


def test_the_default_file_equals_the_built_in_defaults() -> None:
    assert Policy.load() == Policy.load(DEFAULT) == Policy(version="default-1")


def test_the_default_policy_is_the_documented_one() -> None:
    policy = Policy.load()
    assert policy.faces == Faces(approve_rate="1e-4", review_rate="1e-3", margin=0, required="all", liveness_only=False)
    assert policy.genuineness == Scores(required=True, margin=0)
    by_effect = {effect: {code for code in ReasonCode if policy.effects.of(code) is effect} for effect in Effect}
    assert by_effect[Effect.APPROVE] == {ReasonCode.FACE_MATCHED, ReasonCode.LIVENESS_ONLY}
    assert by_effect[Effect.REVIEW] == {
        ReasonCode.FACE_BETWEEN_THRESHOLDS, ReasonCode.MULTIPLE_FACES, ReasonCode.GENUINENESS_MISSING,
        ReasonCode.EVIDENCE_MISMATCH, ReasonCode.NOT_RECONCILED,
    }  # fmt: skip
    assert by_effect[Effect.INCOMPLETE] == {
        ReasonCode.FLOW_CANCELLED, ReasonCode.FLOW_TIMEOUT, ReasonCode.FLOW_FAILED, ReasonCode.WEBRTC_UNSUPPORTED,
    }  # fmt: skip
    assert by_effect[Effect.UNDETERMINED] == {
        ReasonCode.EVIDENCE_LOST, ReasonCode.EVIDENCE_INCOMPLETE, ReasonCode.DATA_SOURCE_ERROR,
        ReasonCode.VENDOR_INTERNAL_ERROR, ReasonCode.UNKNOWN_STATUS,
    }  # fmt: skip
    assert len(by_effect[Effect.REJECT]) == 7


def test_the_default_file_documents_every_effect_that_can_be_set() -> None:
    text = DEFAULT.read_text(encoding="utf-8")
    assert all(code in text for code in ReasonCode)


def test_every_reason_has_an_effect_and_no_other() -> None:
    assert list(Effects.model_fields) == list(ReasonCode)


def test_a_file_may_leave_out_what_it_does_not_change(file: Path) -> None:
    file.write_text('version = "strict-2"\n[faces]\napprove_rate = "1e-5"\nmargin = 1\n')
    policy = Policy.load(file)
    assert policy.faces == Faces(approve_rate="1e-5", margin=1)
    assert policy.effects == Effects()


def test_all_faults_are_listed_in_plain_sentences(file: Path) -> None:
    found = faults(
        file,
        """
        version = ""
        colour = "red"
        [faces]
        approve_rate = "1e-3"
        review_rate = "1e-4"
        margin = -1
        required = []
        liveness_only = "no"
        [genuineness]
        margin = true
        [effects]
        FACE_MATCHED = "reject"
        ATTACK_MASK = "approve"
        MULTIPLE_FACES = "laugh"
        NO_SUCH_CODE = "review"
        """,
    )
    assert [fault.partition(":")[0] for fault in found] == [
        "version", "faces.review_rate", "faces.margin", "faces.required", "faces.liveness_only", "genuineness.margin",
        "effects.FACE_MATCHED", "effects.ATTACK_MASK", "effects.MULTIPLE_FACES", "effects.NO_SUCH_CODE", "colour",
    ]  # fmt: skip
    assert "effects.FACE_MATCHED: must be 'approve' or 'review'" in found
    assert "colour: there is no such setting" in found


@pytest.mark.parametrize(
    ("approve", "review"),
    [("1e-3", "1e-4"), ("1e-3", "1e-5"), ("1e-3", "1e-6"), ("1e-4", "1e-5"), ("1e-4", "1e-6"), ("1e-5", "1e-6")],
)
def test_a_rate_that_approves_may_not_be_looser_than_the_one_that_rejects(
    file: Path, approve: str, review: str
) -> None:
    table = f'version = "1"\n[faces]\napprove_rate = "{approve}"\nreview_rate = "{review}"\n'
    (fault,) = faults(file, table)
    assert fault.startswith(f"faces.review_rate: {review} is stricter than approve_rate {approve}")
    file.write_text(f'version = "1"\n[faces]\napprove_rate = "{review}"\nreview_rate = "{approve}"\n')
    assert Policy.load(file).faces.approve_rate == review


def test_a_rate_is_written_as_the_vendor_names_it(file: Path) -> None:
    (fault,) = faults(file, 'version = "1"\n[faces]\napprove_rate = 1e-4\n')
    assert fault == "faces.approve_rate: must be '1e-3' or '1e-4' or '1e-5' or '1e-6'"


CONTRADICTIONS = [
    ("FACE_MATCHED", "reject"),
    ("FACE_MATCHED", "undetermined"),
    ("LIVENESS_ONLY", "reject"),
    *((code, effect) for code in ReasonCode if code.startswith("ATTACK_") for effect in ("approve", "incomplete")),
    ("LIVENESS_FAILED", "approve"),
    ("FACE_BELOW_THRESHOLD", "approve"),
    ("FACE_BETWEEN_THRESHOLDS", "approve"),
    ("NO_FACE_FOUND", "approve"),
    ("GENUINENESS_MISSING", "approve"),
    ("EVIDENCE_MISMATCH", "approve"),
    ("NOT_RECONCILED", "reject"),
    ("EVIDENCE_LOST", "reject"),
    ("EVIDENCE_INCOMPLETE", "reject"),
    ("EVIDENCE_INCOMPLETE", "approve"),
    ("DATA_SOURCE_ERROR", "reject"),
    ("VENDOR_INTERNAL_ERROR", "reject"),
    ("UNKNOWN_STATUS", "reject"),
    ("FLOW_CANCELLED", "reject"),
    ("FLOW_TIMEOUT", "approve"),
    ("FLOW_FAILED", "review"),
    ("WEBRTC_UNSUPPORTED", "reject"),
]


@pytest.mark.parametrize(("code", "effect"), CONTRADICTIONS)
def test_an_unsafe_effect_is_refused(file: Path, code: str, effect: str) -> None:
    (fault,) = faults(file, f'version = "1"\n[effects]\n{code} = "{effect}"\n')
    assert fault.startswith(f"effects.{code}: must be ")


def test_a_worse_face_may_not_get_a_better_outcome(file: Path) -> None:
    table = 'version = "1"\n[effects]\nFACE_BELOW_THRESHOLD = "review"\nFACE_BETWEEN_THRESHOLDS = "reject"\n'
    assert faults(file, table) == [
        "effects.FACE_BETWEEN_THRESHOLDS: a face between the thresholds would be rejected,"
        " and a face below them only reviewed"
    ]


@pytest.mark.parametrize("required", ['"none"', "[]", '["face1"]', "1", '["result_ref1", 2]', "true"])
def test_the_required_comparisons_are_all_or_named(file: Path, required: str) -> None:
    (fault,) = faults(file, f'version = "1"\n[faces]\nrequired = {required}\n')
    assert fault == 'faces.required: must be "all" or a list of comparisons such as ["result_ref1"]'


def test_a_missing_version_is_a_fault(file: Path) -> None:
    assert faults(file, "") == ["version: Field required"]


def test_a_file_that_is_no_toml_is_a_fault(file: Path) -> None:
    (fault,) = faults(file, "version = ")
    assert fault.startswith("is not TOML: ")
    file.write_bytes(b'version = "\xff"')
    with pytest.raises(PolicyError, match="is not TOML"):
        Policy.load(file)


def test_a_missing_file_is_a_fault(file: Path) -> None:
    with pytest.raises(PolicyError, match="can't be read: No such file"):
        Policy.load(file)


def test_the_digest_is_stable() -> None:
    assert Policy.load().digest == "8483c78392ec96e8bde6bcfe7b640669e16eea47980ddacf9c18f357412551b9"


def test_layout_and_comments_do_not_change_the_digest(file: Path) -> None:
    file.write_text('# the same\n[effects]\nMULTIPLE_FACES="review"\n[faces]\nmargin=0\n', encoding="utf-8")
    file.write_text('version="default-1" # ours\n' + file.read_text())
    assert Policy.load(file).digest == Policy.load().digest


@pytest.mark.parametrize(
    "policy",
    [
        Policy(version="other"),
        Policy(version="default-1", faces=Faces(margin=0.5)),
        Policy(version="default-1", faces=Faces(required=("result_ref1",))),
        Policy(version="default-1", genuineness=Scores(required=False)),
        Policy(version="default-1", effects=Effects(MULTIPLE_FACES=Effect.APPROVE)),
    ],
)
def test_any_change_of_the_content_changes_the_digest(policy: Policy) -> None:
    assert policy.digest != Policy.load().digest


def test_a_policy_is_described_in_sentences() -> None:
    assert explain(Policy.load())[:5] == [
        "At or above FaceID's 1e-4 threshold, a face matches.",
        "Below that, down to the 1e-3 threshold, a face is between the thresholds.",
        "Below the 1e-3 threshold, a face does not match.",
        "Every comparison in the result must match.",
        "Liveness alone never approves: a missing comparison gives EVIDENCE_INCOMPLETE.",
    ]


def test_the_description_names_margins_and_exceptions() -> None:
    faces = Faces(approve_rate="1e-5", review_rate="1e-5", margin=1.5, required=("result_ref2",))
    lines = explain(Policy(version="1", faces=faces, genuineness=Scores(required=False, margin=0.1)))
    assert lines[:6] == [
        "At or above FaceID's 1e-5 threshold plus 1.5, a face matches.",
        "Below the 1e-5 threshold plus 1.5, a face does not match.",
        "These comparisons must match: result_ref2. Others are ignored.",
        "Liveness alone never approves: a missing comparison gives EVIDENCE_INCOMPLETE.",
        "A spoof score above its threshold less 0.1 is an attack.",
        "A missing spoof score gives no reason.",
    ]


def test_liveness_alone_can_not_approve_where_a_comparison_is_required(file: Path) -> None:
    table = 'version = "1"\n[faces]\nrequired = ["result_ref1"]\nliveness_only = true\n'
    (fault,) = faults(file, table)
    assert (
        fault == "faces.liveness_only: liveness alone can't approve while `required` names comparisons that must match"
    )


def test_the_description_names_every_reason_once() -> None:
    words = " ".join(explain(Policy.load())[7:]).replace(",", " ").replace(".", " ").split()
    assert all(words.count(code) == 1 for code in ReasonCode)
