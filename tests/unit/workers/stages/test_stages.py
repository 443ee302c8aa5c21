"""The stages as thin shells: what each makes of its item, with the pure parts at work inside."""

import json
from typing import Any

import pytest

from shared.events.cloudevent import CONTENT_TYPE, from_event
from shared.events.decision import Decision
from shared.ledger.ledger import Ledger
from shared.messaging.envelope import Envelope
from tests.support.cases import BORN, KEY, Clock, answered, new_ledger, new_redis, unsigned, verified
from tests.support.payloads import BIZ_ID, SECRET, changed, posted, returned, signed
from workers.decisioning.decision_builder import _ATTACKS, DecidedCase, has_attack
from workers.decisioning.evidence import ReconciledCase
from workers.decisioning.policy import Policy
from workers.faceid.payload import Payload
from workers.faceid.verification import VerifiedArrival
from workers.runtime import stage_result
from workers.stages.classify import Classify
from workers.stages.publish import Publish
from workers.stages.verify import Verify

ENVELOPE = Envelope("i1", "default", "notify", "POST", BORN, b"", biz_id=BIZ_ID)
STRANGER = Envelope("i1", "stranger", "notify", "POST", BORN, b"", biz_id=BIZ_ID)


def reconciled(name: str = "clean-pass", **changes: Any) -> ReconciledCase:
    """A signed callback beside the same from GetResult."""
    raw = answered(name, **changes).raw
    return ReconciledCase(verified(name, **changes), raw.decode(), Payload.from_json(raw), None, True, ("notify",))


# Verify

VERIFY = Verify({"default": (SECRET, "older secret")})


async def verify(envelope: Envelope) -> stage_result.StageResult:
    return await VERIFY.run(envelope, VERIFY.load(envelope.body))


@pytest.mark.parametrize(("secret", "index"), [(SECRET, 0), ("older secret", 1)])
async def test_a_signed_callback_is_verified_by_any_live_secret(secret: str, index: int) -> None:
    result = await verify(signed(json.dumps(changed("clean-pass")), secret))
    assert isinstance(result, stage_result.Forward)
    assert isinstance(result.value, VerifiedArrival)
    assert (result.value.biz_id, result.value.secret) == (BIZ_ID, index)


async def test_a_return_by_get_goes_on_as_a_hint() -> None:
    assert await verify(returned(f"biz_id={BIZ_ID}")) == stage_result.Forward(unsigned())


@pytest.mark.parametrize(
    ("envelope", "reason"),
    [
        (signed(json.dumps(changed("clean-pass")), "a forger's secret"), "bad_signature"),
        (signed(b"not json"), "malformed"),
        (posted(b"no form at all"), "malformed"),
        (returned("order=5"), "malformed"),
    ],
)
async def test_what_proves_nothing_is_set_aside_with_its_reason(envelope: Envelope, reason: str) -> None:
    result = await verify(envelope)
    assert isinstance(result, stage_result.Unverified)
    assert result.reason == reason


async def test_an_account_without_secrets_here_is_dead_and_not_forged() -> None:
    result = await VERIFY.run(STRANGER, b"")
    assert isinstance(result, stage_result.DeadLetter)
    assert result.reason == "unknown_account"


# Classify


def classify_stage() -> Classify:
    return Classify({"default": Policy.load()}, Clock(BORN + 3.25))


async def decision_on(value: ReconciledCase) -> Decision:
    result = await classify_stage().run(ENVELOPE, value)
    assert isinstance(result, stage_result.Forward)
    assert isinstance(result.value, DecidedCase)
    return result.value.decision


async def test_evidence_becomes_a_decision_with_all_that_it_rests_on() -> None:
    decision = await decision_on(reconciled())
    assert (decision.outcome, decision.reconciled, decision.revision) == ("APPROVED", True, 1)
    assert (decision.account, decision.biz_id, decision.channels) == ("default", BIZ_ID, ("notify",))
    assert (decision.received_at, decision.decided_at) == ("2016-05-03T07:15:48.000Z", "2016-05-03T07:15:51.250Z")
    assert (decision.policy.version, decision.policy.digest) == (Policy.load().version, Policy.load().digest)


@pytest.mark.parametrize("refusal", ["DATA_DESTROYED", "RESULT_NOT_FOUND", "BUDGET_SPENT"])
async def test_what_can_not_be_fetched_is_never_a_rejection(refusal: str) -> None:
    alone = await decision_on(ReconciledCase(verified(), "", None, refusal, True, ("notify",)))
    assert (alone.outcome, alone.reconciled) == ("REVIEW", False)
    nothing = await decision_on(ReconciledCase(unsigned(), "", None, refusal, True, ("return",)))
    assert (nothing.outcome, nothing.reconciled) == ("UNDETERMINED", False)


async def test_a_trusted_callback_is_decided_without_a_finding_against_it() -> None:
    decision = await decision_on(ReconciledCase(verified(), "", None, None, False, ("notify",)))
    assert (decision.outcome, decision.reconciled) == ("APPROVED", False)


async def test_an_account_without_a_policy_here_is_dead() -> None:
    result = await classify_stage().run(STRANGER, reconciled())
    assert isinstance(result, stage_result.DeadLetter)
    assert result.reason == "unknown_account"


async def test_both_ways_to_the_stage_give_the_same_decision() -> None:
    value = reconciled()
    assert await decision_on(classify_stage().load(value.dump())) == await decision_on(value)


# Publish


@pytest.fixture
def ledger() -> Ledger:
    return new_ledger(new_redis())


async def decided(**changes: Any) -> DecidedCase:
    return DecidedCase(await decision_on(reconciled("clean-pass", **changes)))


async def publish(ledger: Ledger, value: DecidedCase) -> stage_result.Publish:
    stage = Publish(ledger, "p")
    result = await stage.run(ENVELOPE, stage.load(value.dump()))
    assert isinstance(result, stage_result.Publish)
    return result


async def test_a_decision_goes_out_as_an_event_once_for_its_mark(ledger: Ledger) -> None:
    value = await decided()
    result = await publish(ledger, value)
    (post,) = result.messages
    assert (post.queue, post.content_type) == ("p.decisions", CONTENT_TYPE)
    assert from_event(post.body) == value.decision
    assert post.headers == {"ce-id": value.decision.id}
    assert result.once == (KEY, "published", value.decision.id)


async def test_the_decision_that_was_committed_first_goes_out(ledger: Ledger) -> None:
    first, second = await decided(), await decided(liveness_result__result="FAIL")
    await publish(ledger, first)
    (post,) = (await publish(ledger, second)).messages
    event = from_event(post.body)
    assert isinstance(event, Decision)
    assert event.outcome == "APPROVED"


async def test_a_decision_that_comes_again_makes_the_same_messages(ledger: Ledger) -> None:
    value = await decided(verify_result__error_message="DATA_SOURCE_ERROR")
    assert await publish(ledger, value) == await publish(ledger, value)


async def test_a_decision_that_is_out_goes_out_no_more() -> None:
    redis = new_redis()
    value = await decided()
    first = await publish(new_ledger(redis), value)
    await redis.hset(*first.once)
    assert await publish(new_ledger(redis), value) == stage_result.Publish((), first.once)


async def test_a_data_source_error_is_an_alert_beside_its_decision(ledger: Ledger) -> None:
    value = await decided(verify_result__error_message="DATA_SOURCE_ERROR")
    decision_post, alert_post = (await publish(ledger, value)).messages
    alert = from_event(alert_post.body)
    assert not isinstance(alert, Decision)
    assert (decision_post.queue, alert_post.queue) == ("p.decisions", "p.alerts")
    assert (alert.kind, alert.biz_id, alert.at) == ("data_source_error", BIZ_ID, value.decision.decided_at)
    assert alert_post.headers == {"ce-id": alert.id}


async def unread(code: str) -> DecidedCase:
    """DecidedCase without an answer of GetResult, for this reason."""
    return DecidedCase(await decision_on(ReconciledCase(verified(), "", None, code, True, ("notify",))))


def kinds(published: stage_result.Publish) -> list[str]:
    messages = [from_event(post.body) for post in published.messages]
    return [message.kind for message in messages if not isinstance(message, Decision)]


async def test_a_case_that_its_reads_brought_nothing_for_is_an_alert_beside_its_decision(ledger: Ledger) -> None:
    first = await publish(ledger, await unread("BUDGET_SPENT"))
    again = await publish(ledger, await unread("BUDGET_SPENT"))
    assert kinds(first) == ["budget_spent"]
    assert first == again, "with one mark for both, so that one of them goes out"


@pytest.mark.parametrize("code", ["RESULT_NOT_FOUND", "DATA_DESTROYED", "RESULT_EXPIRED"])
async def test_a_case_without_a_result_for_another_reason_raises_no_such_alert(ledger: Ledger, code: str) -> None:
    assert kinds(await publish(ledger, await unread(code))) == []


async def test_an_attack_is_what_any_reason_calls_so() -> None:
    scores = {"liveness_result__face_genuineness__mask_confidence": 0.9}
    assert has_attack((await decided(**scores)).decision)
    assert not has_attack((await decided()).decision)
    assert {code.name for code in _ATTACKS} == {
        "ATTACK_SYNTHETIC_FACE",
        "ATTACK_MASK",
        "ATTACK_SCREEN_REPLAY",
        "ATTACK_FACE_REPLACED",
    }
