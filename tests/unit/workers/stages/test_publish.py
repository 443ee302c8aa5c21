"""The publish stage: the decision that the ledger holds is published once, with its alerts."""

from typing import Any

import pytest

from shared.events.cloudevent import CONTENT_TYPE, from_event
from shared.events.decision import Decision
from shared.ledger.ledger import Ledger
from shared.messaging.envelope import Envelope
from tests.support.cases import KEY, new_ledger, new_redis
from tests.support.decisions import decided_on, on_answer, on_callback
from tests.support.payloads import BIZ_ID, ISSUED_AT
from workers.decisioning.decided_case import DecidedCase
from workers.runtime import stage_result
from workers.stages.publish import Publish

ENVELOPE = Envelope("i1", "default", "notify", "POST", ISSUED_AT, b"", biz_id=BIZ_ID)


@pytest.fixture
def ledger() -> Ledger:
    return new_ledger(new_redis())


def decided(**changes: Any) -> DecidedCase:
    return decided_on(on_answer(**changes))


def decided_without_answer(refusal: str) -> DecidedCase:
    return decided_on(on_callback(refusal=refusal))


async def publish(ledger: Ledger, value: DecidedCase) -> stage_result.Publish:
    stage = Publish(ledger, "p")
    result = await stage.run(ENVELOPE, stage.load(value.dump()))
    assert isinstance(result, stage_result.Publish)
    return result


def alert_kinds(published: stage_result.Publish) -> list[str]:
    events = [from_event(message.body) for message in published.messages]
    return [event.kind for event in events if not isinstance(event, Decision)]


async def test_a_decision_is_published_as_one_event_with_its_mark(ledger: Ledger) -> None:
    value = decided()
    result = await publish(ledger, value)
    (message,) = result.messages
    assert (message.queue, message.content_type) == ("p.decisions", CONTENT_TYPE)
    assert from_event(message.body) == value.decision
    assert message.headers == {"ce-id": value.decision.id}
    assert result.once == (KEY, "published", value.decision.id)


async def test_the_decision_committed_first_is_published(ledger: Ledger) -> None:
    await publish(ledger, decided())
    (message,) = (await publish(ledger, decided(liveness_result__result="FAIL"))).messages
    event = from_event(message.body)
    assert isinstance(event, Decision)
    assert event.outcome == "APPROVED"


async def test_a_repeated_decision_makes_the_same_messages(ledger: Ledger) -> None:
    value = decided(verify_result__error_message="DATA_SOURCE_ERROR")
    assert await publish(ledger, value) == await publish(ledger, value)


async def test_a_published_decision_is_not_published_again() -> None:
    redis, value = new_redis(), decided()
    first = await publish(new_ledger(redis), value)
    await redis.hset(*first.once)
    assert await publish(new_ledger(redis), value) == stage_result.Publish((), first.once)


async def test_a_data_source_error_raises_an_alert_beside_the_decision(ledger: Ledger) -> None:
    value = decided(verify_result__error_message="DATA_SOURCE_ERROR")
    decision_message, alert_message = (await publish(ledger, value)).messages
    alert = from_event(alert_message.body)
    assert not isinstance(alert, Decision)
    assert (decision_message.queue, alert_message.queue) == ("p.decisions", "p.alerts")
    assert (alert.kind, alert.biz_id, alert.at) == ("data_source_error", BIZ_ID, value.decision.decided_at)
    assert alert_message.headers == {"ce-id": alert.id}


async def test_a_spent_budget_raises_an_alert_beside_the_decision(ledger: Ledger) -> None:
    first = await publish(ledger, decided_without_answer("BUDGET_SPENT"))
    again = await publish(ledger, decided_without_answer("BUDGET_SPENT"))
    assert alert_kinds(first) == ["budget_spent"]
    assert first == again, "both have the same mark, so only one is published"


@pytest.mark.parametrize("code", ["RESULT_NOT_FOUND", "DATA_DESTROYED", "RESULT_EXPIRED"])
async def test_other_causes_of_a_missing_result_raise_no_alert(ledger: Ledger, code: str) -> None:
    assert alert_kinds(await publish(ledger, decided_without_answer(code))) == []
