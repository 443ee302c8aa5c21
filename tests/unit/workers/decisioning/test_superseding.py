"""When a decision takes another's place, and what is told of it."""

import json

import pytest

from shared.events.alert import Alert
from shared.events.cloudevent import from_event
from shared.events.decision import decision_id
from shared.ledger.superseding import Superseding
from shared.messaging.stored_message import StoredMessage
from tests.support.decisions import BORN, dumped, made_on, on_answer, on_callback
from tests.support.payloads import BIZ_ID
from workers.decisioning.decision_builder import is_better, is_different, supersede
from workers.decisioning.evidence import ReconciledCase

ALONE = on_callback()
ANSWERED = on_answer()
TRUSTED = on_callback(refusal=None)


def superseding(fresh: ReconciledCase = ANSWERED, old: ReconciledCase = ALONE) -> Superseding:
    before = made_on(old)
    return supersede(dumped(before), before, made_on(fresh, now=BORN + 60), by="alice", note="why")


def told(made: Superseding) -> list[StoredMessage]:
    """The items that go into the outbox when the old decision is out."""
    count, *items = made.arguments("p", 1000)[8:]
    assert isinstance(count, int)
    return [StoredMessage.load(item) for item in items[2 * count + 1 :: 2] if isinstance(item, bytes)]


@pytest.mark.parametrize(
    ("fresh", "old", "better"),
    [
        (on_answer(), ALONE, True),
        (on_answer("liveness-fail"), ALONE, True),
        (on_answer(), on_answer("liveness-fail"), False),
        (on_answer(), TRUSTED, False),
        (on_callback("liveness-fail"), ALONE, False),
        (TRUSTED, ALONE, False),
    ],
    ids=["answer", "contradicting answer", "reconciled already", "never wanted", "no answer", "trusted now"],
)
def test_only_getresults_answer_supersedes_and_only_what_had_to_do_without_it(
    fresh: ReconciledCase, old: ReconciledCase, better: bool
) -> None:
    assert is_better(made_on(fresh), made_on(old)) is better


def test_the_new_decision_is_the_next_revision_and_names_the_one_before() -> None:
    made = superseding()
    new = made.new
    assert (new.revision, new.supersedes) == (2, made.old.id)
    assert new.id == decision_id("default", BIZ_ID, 2)
    assert (new.outcome, new.reconciled, made.provisional) == ("APPROVED", True, False)
    assert new.received_at == made.old.received_at


def test_a_third_revision_names_the_second() -> None:
    second = superseding(on_callback("liveness-fail"))
    third = supersede(dumped(second.new), second.new, made_on(on_answer(), now=BORN + 90), by="faceid", note="")
    assert second.provisional
    assert (third.new.revision, third.new.supersedes) == (3, second.new.id)


def test_another_outcome_is_told_by_an_alert_beside_the_decision() -> None:
    decision, alert = [from_event(item.message.body) for item in told(superseding()) if item.message]
    assert isinstance(alert, Alert)
    assert decision == superseding().new
    assert (alert.kind, alert.biz_id) == ("decision_superseded", BIZ_ID)
    assert alert.detail == {"old_outcome": "REVIEW", "new_outcome": "APPROVED", "revision": 2, "by": "alice"}


def test_the_same_outcome_on_better_evidence_raises_no_alert() -> None:
    made = superseding(on_answer("between-1e-3-and-1e-4"), on_callback("between-1e-3-and-1e-4"))
    assert made.old.outcome == made.new.outcome == "REVIEW"
    assert [item.reason for item in told(made)] == ["superseding"]


def test_messages_keep_what_they_may_be_routed_by_on_their_way_through_the_outbox() -> None:
    topics = [item.message.topic for item in told(superseding()) if item.message]
    assert topics == ["decision.default.approved", "alert.default.decision_superseded"]


def test_the_items_are_in_the_order_of_their_going_out() -> None:
    ids = [item.id for item in told(superseding())]
    assert ids == sorted(ids)


def test_who_and_why_are_kept_with_the_old_decision() -> None:
    assert json.loads(str(superseding().arguments("p", 1000)[5])) == {"by": "alice", "note": "why"}


def test_a_decision_differs_by_more_than_its_policy_and_its_time() -> None:
    before = made_on(ALONE)
    later = made_on(ALONE, now=BORN + 1000)
    assert not is_different(later.model_copy(update={"policy": {"version": "9", "digest": "d"}}), before)
    assert is_different(made_on(on_answer()), before)


def test_no_personal_data_is_in_what_is_logged() -> None:
    private = {"biz_info__biz_extra_data": "a private remark"}
    made = superseding(on_answer(**private), on_callback(**private))
    assert made.new.biz_extra_data == "a private remark"
    assert "private" not in made.summary + repr(made)
