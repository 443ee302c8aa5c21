"""Decisions: their ids, times and texts."""

from uuid import UUID

import pytest
from pydantic import ValidationError

from shared.events.decision import (
    REASON_TEXTS,
    Decision,
    Effect,
    Outcome,
    PolicyRef,
    Reason,
    ReasonCode,
    decision_id,
    describe,
    timestamp,
)

DECISION = Decision(
    biz_id="1462259748,52b1",
    biz_no="7",
    biz_extra_data="hunter2",
    account="default",
    outcome=Outcome.REVIEW,
    reasons=(Reason(ReasonCode.MULTIPLE_FACES, "multifaces_tag", "1", None, Effect.REVIEW),),
    policy=PolicyRef("1", "0" * 64),
    reconciled=True,
    channels=("notify",),
    revision=1,
    supersedes=None,
    status="OK",
    liveness=None,
    genuineness=None,
    faces=(),
    received_at="2016-05-03T07:16:03.250Z",
    decided_at="2016-05-03T07:16:03.500Z",
)


def test_the_id_depends_only_on_account_biz_id_and_revision() -> None:
    assert decision_id("default", "1,a", 1) == decision_id("default", "1,a", 1)
    others = [("other", "1,a", 1), ("default", "1,b", 1), ("default", "1,a", 2)]
    assert len({decision_id("default", "1,a", 1), *(decision_id(*other) for other in others)}) == 4


def test_the_id_is_a_stable_uuid() -> None:
    assert DECISION.id == decision_id("default", "1462259748,52b1", 1) == "2f611d5b-c711-5883-b6bf-a5ea1966f3c4"
    assert UUID(DECISION.id).version == 5


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (1462259763.25, "2016-05-03T07:16:03.250Z"),
        (1462259763.2509, "2016-05-03T07:16:03.250Z"),
        (1462259763.9999, "2016-05-03T07:16:03.999Z"),
    ],
)
def test_a_timestamp_is_in_utc_with_milliseconds(seconds: float, text: str) -> None:
    assert timestamp(seconds) == text


def test_a_decision_is_immutable() -> None:
    with pytest.raises(ValidationError):
        DECISION.outcome = Outcome.APPROVED  # type: ignore[misc]
    with pytest.raises(AttributeError):
        DECISION.reasons[0].effect = Effect.APPROVE  # type: ignore[misc]


@pytest.mark.parametrize("moment", ["2016-05-03T07:16:03Z", "2016-05-03T07:16:03.250+00:00", "yesterday", ""])
def test_a_timestamp_in_another_format_is_invalid(moment: str) -> None:
    with pytest.raises(ValidationError):
        Decision.model_validate({**DECISION.model_dump(), "decided_at": moment})


def test_unknown_members_are_ignored() -> None:
    assert Decision.model_validate({**DECISION.model_dump(), "mood": "good"}) == DECISION


def test_biz_extra_data_is_not_in_repr_or_errors() -> None:
    assert "hunter2" not in repr(DECISION)
    with pytest.raises(ValidationError) as raised:
        Decision.model_validate({**DECISION.model_dump(), "biz_extra_data": ["hunter2"]})
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize("code", ReasonCode)
@pytest.mark.parametrize("effect", Effect)
def test_every_reason_has_a_text_for_every_effect(code: ReasonCode, effect: Effect) -> None:
    sentence = describe(Reason(code, "a.path", 0.5, 0.25, effect))
    assert sentence[0].isupper()
    assert "{" not in sentence


@pytest.mark.parametrize(
    ("reason", "sentence"),
    [
        (
            Reason(ReasonCode.FACE_BETWEEN_THRESHOLDS, "x", 68.918, (64.0, 69.0), Effect.REVIEW),
            "Face confidence 68.918 lies between 64 and 69: a person must review it",
        ),
        (
            Reason(ReasonCode.ATTACK_SYNTHETIC_FACE, "x", 0.88, 0.5, Effect.REJECT),
            "Synthetic face score 0.88 is above 0.5: causes rejection",
        ),
        (
            Reason(ReasonCode.FACE_MATCHED, "x", 81.2, 69.0, Effect.APPROVE),
            "Face confidence 81.2 reaches 69: supports approval",
        ),
        (
            Reason(ReasonCode.WEBRTC_UNSUPPORTED, "fail_reason", "PERMISSIONS_ERROR", None, Effect.INCOMPLETE),
            "The browser could not run the check (PERMISSIONS_ERROR): the user has to start again",
        ),
        (
            Reason(ReasonCode.EVIDENCE_LOST, "get_result", "DATA_DESTROYED", None, Effect.UNDETERMINED),
            "FaceID no longer has the result (DATA_DESTROYED): no verdict is possible",
        ),
    ],
)
def test_a_reason_reads_as_a_sentence(reason: Reason, sentence: str) -> None:
    assert describe(reason) == sentence


def test_the_texts_cover_every_reason_code_in_order() -> None:
    assert list(REASON_TEXTS) == list(ReasonCode)
