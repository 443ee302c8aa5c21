"""Everything that form 1 of the pipeline wrote is read and finished by today's code."""

import json
from dataclasses import asdict

import pytest

from shared.accounts import Account
from shared.ledger.message_set import MessageSet
from shared.messaging.stored_message import StoredMessage
from shared.messaging.topology import INNER_QUEUES
from tests.support import form_v1
from tests.support.one_worker import OneWorker
from tests.support.payloads import ISSUED_AT, changed, signed
from workers.faceid.getresult_client import Answer, Answered

NOW = ISSUED_AT + 7200.0
"""The token has expired: every arrival may be read at once."""
OUTCOMES = {"failed liveness": "REJECTED"}
"""Every other message of the fixtures is approved."""
DECIDED = {state: "REVIEW" for state in ("owned, two signed texts", "refused", "provisional, answered late")}
"""Every other case without a final decision is approved."""
MESSAGES = [(queue, name) for queue in INNER_QUEUES for name in form_v1.messages(queue)]
SETS = ("delayed", "dead", "unverified", "outbox", "tombstones")


async def faceid(_account: Account, biz_id: str) -> Answer:
    number = biz_id.rpartition("-")[2]
    payload = changed("liveness-fail" if number == "5" else "clean-pass", biz_info__biz_id=biz_id)
    payload["biz_info"]["biz_no"] = f"no-{number}"
    return Answered(json.dumps(payload).encode())


@pytest.mark.parametrize(("queue", "name"), MESSAGES)
async def test_a_message_of_form_1_is_decided_from_every_queue(queue: str, name: str) -> None:
    worker = OneWorker(faceid, now=NOW)
    await worker.process_message(form_v1.messages(queue)[name])
    await worker.run_until_idle()
    assert [decision["outcome"] for decision in worker.published()] == [OUTCOMES.get(name, "APPROVED")]
    assert worker.message_set("dead") == worker.message_set("unverified") == []


@pytest.mark.parametrize("message_set", SETS)
def test_every_stored_message_of_form_1_is_read(message_set: str) -> None:
    items = form_v1.items(message_set)
    assert items
    for item in items:
        stored, record = StoredMessage.load(item.raw), json.loads(item.raw)
        found = asdict(stored)
        parts = record.pop("message", None)
        entry = record.pop("entry", [])
        assert {name: found[name] for name in record} == record
        assert [[name.decode("latin-1"), value.decode("latin-1")] for name, value in stored.entry] == entry
        if parts is None:
            assert stored.message is None
        else:
            assert stored.message is not None
            queue, body, content_type, headers, *topic = parts
            assert stored.message.body == body.encode("latin-1")
            assert (stored.message.queue, stored.message.content_type) == (queue, content_type)
            assert (stored.message.headers, [stored.message.topic]) == (headers, topic or [""])


async def test_delayed_messages_of_form_1_are_decided_when_they_are_due() -> None:
    worker = OneWorker(faceid, now=NOW)
    delayed = form_v1.items("delayed")
    for item in delayed:
        item.put(worker.redis, "delayed")
    await worker.run_until_idle()
    cases = {StoredMessage.load(item.raw).biz_id for item in delayed}
    assert {decision["biz_id"] for decision in worker.published()} == cases
    assert list(MessageSet(worker.redis, "faceid", "dead")) == []


@pytest.mark.parametrize("state", form_v1.cases())
async def test_a_case_of_form_1_gets_its_decision_from_the_next_callback(state: str) -> None:
    worker = OneWorker(faceid, now=NOW)
    biz_id, owner = form_v1.put_case(worker.redis, state)
    before = worker.committed(biz_id)
    number = biz_id.rpartition("-")[2]
    payload = changed("liveness-fail" if number == "5" else "clean-pass", biz_info__biz_id=biz_id)
    payload["biz_info"]["biz_no"] = f"no-{number}"
    message = form_v1.messages("callbacks")["signed notify"]

    for item in (owner, "another"):
        body = signed(json.dumps(payload, ensure_ascii=False)).body
        headers = {**message.headers, "id": item}
        await worker.process_message(type(message)(message.queue, body, message.content_type, headers))
    await worker.run_until_idle()

    (decision,) = worker.committed(biz_id)
    if before and not state.startswith(("published, provisional", "provisional")):
        assert decision == before[0], "a decision that stands is kept"
    else:
        assert decision["outcome"] == DECIDED.get(state, "APPROVED")
    assert worker.message_set("dead") == []
