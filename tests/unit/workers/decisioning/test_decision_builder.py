"""Decisions that supersede others: when, as which revision, and with which alerts and outbox items."""

import json

import pytest

from shared.events.alert import Alert
from shared.events.cloudevent import from_event
from shared.events.decision import decision_id
from shared.ledger.superseding import Superseding
from shared.messaging.stored_message import StoredMessage
from tests.support.decisions import dumped, made_on, on_answer, on_callback
from tests.support.payloads import BIZ_ID, ISSUED_AT
from workers.decisioning.decision_builder import _ATTACKS, has_attack, is_different, supersede, why_supersede
from workers.decisioning.evidence import ReconciledCase

WITHOUT_ANSWER = on_callback()
WITH_ANSWER = on_answer()
NEVER_RECONCILED = on_callback(refusal=None)


def superseding(fresh: ReconciledCase = WITH_ANSWER, old: ReconciledCase = WITHOUT_ANSWER) -> Superseding:
    before = made_on(old)
    return supersede(dumped(before), before, made_on(fresh, now=ISSUED_AT + 60), by="alice", note="why")


def outbox_items(made: Superseding) -> list[StoredMessage]:
    """The items for the outbox when the old decision is published."""
    count, *items = made.arguments("p", 1000)[8:]
    assert isinstance(count, int)
    return [StoredMessage.load(item) for item in items[2 * count + 1 :: 2] if isinstance(item, bytes)]


@pytest.mark.parametrize(
    ("fresh", "old", "better"),
    [
        (on_answer(), WITHOUT_ANSWER, True),
        (on_answer("liveness-fail"), WITHOUT_ANSWER, True),
        (on_answer(), on_answer("liveness-fail"), False),
        (on_answer(), NEVER_RECONCILED, False),
        (on_callback("liveness-fail"), WITHOUT_ANSWER, False),
        (NEVER_RECONCILED, WITHOUT_ANSWER, False),
    ],
    ids=[
        "answer",
        "contradicting answer",
        "reconciled already",
        "never reconciled",
        "no answer",
        "switched off now",
    ],
)
def test_only_a_decision_with_getresults_answer_supersedes_one_that_lacks_it(
    fresh: ReconciledCase, old: ReconciledCase, better: bool
) -> None:
    assert bool(why_supersede(made_on(fresh), made_on(old))) is better


def test_the_new_decision_is_the_next_revision_and_names_the_one_before() -> None:
    made = superseding()
    new = made.new
    assert (new.revision, new.supersedes) == (2, made.old.id)
    assert new.id == decision_id("default", BIZ_ID, 2)
    assert (new.outcome, new.reconciled, made.provisional) == ("APPROVED", True, False)
    assert new.received_at == made.old.received_at


def test_a_third_revision_names_the_second() -> None:
    second = superseding(on_callback("liveness-fail"))
    third = supersede(dumped(second.new), second.new, made_on(on_answer(), now=ISSUED_AT + 90), by="faceid", note="")
    assert second.provisional
    assert (third.new.revision, third.new.supersedes) == (3, second.new.id)


def test_another_outcome_raises_an_alert_beside_the_decision() -> None:
    decision, alert = [from_event(item.message.body) for item in outbox_items(superseding()) if item.message]
    assert isinstance(alert, Alert)
    assert decision == superseding().new
    assert (alert.kind, alert.biz_id) == ("decision_superseded", BIZ_ID)
    assert alert.detail == {"old_outcome": "REVIEW", "new_outcome": "APPROVED", "revision": 2, "by": "alice"}


def test_the_same_outcome_on_better_evidence_raises_no_alert() -> None:
    made = superseding(on_answer("between-1e-3-and-1e-4"), on_callback("between-1e-3-and-1e-4"))
    assert made.old.outcome == made.new.outcome == "REVIEW"
    assert [item.reason for item in outbox_items(made)] == ["superseding"]


def test_messages_keep_their_routing_key_in_the_outbox() -> None:
    topics = [item.message.topic for item in outbox_items(superseding()) if item.message]
    assert topics == ["decision.default.approved", "alert.default.decision_superseded"]


def test_outbox_items_are_in_the_order_of_publishing() -> None:
    ids = [item.id for item in outbox_items(superseding())]
    assert ids == sorted(ids)


def test_user_and_note_are_kept_with_the_old_decision() -> None:
    assert json.loads(str(superseding().arguments("p", 1000)[5])) == {"by": "alice", "note": "why"}


def test_policy_and_time_alone_make_no_different_decision() -> None:
    before = made_on(WITHOUT_ANSWER)
    later = made_on(WITHOUT_ANSWER, now=ISSUED_AT + 1000)
    assert not is_different(later.model_copy(update={"policy": {"version": "9", "digest": "d"}}), before)
    assert is_different(made_on(on_answer()), before)


def test_the_log_text_has_no_personal_data() -> None:
    private = {"biz_info__biz_extra_data": "a private remark"}
    made = superseding(on_answer(**private), on_callback(**private))
    assert made.new.biz_extra_data == "a private remark"
    assert "private" not in made.summary + repr(made)


def test_an_attack_is_found_in_any_reason() -> None:
    assert has_attack(made_on(on_answer(liveness_result__face_genuineness__mask_confidence=0.9)))
    assert not has_attack(made_on(on_answer()))
    assert {code.name for code in _ATTACKS} == {
        "ATTACK_SYNTHETIC_FACE",
        "ATTACK_MASK",
        "ATTACK_SCREEN_REPLAY",
        "ATTACK_FACE_REPLACED",
    }
