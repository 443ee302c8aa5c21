"""From a stage's result to what is written where."""

import dataclasses
from hashlib import sha256
from typing import Any, cast

import pytest
from msgspec.structs import replace

from shared.ledger.message_set import Command, put_commands
from shared.messaging.delivery import Delivery
from shared.messaging.envelope import Envelope
from shared.messaging.message import Message
from shared.messaging.stored_message import StoredMessage
from shared.messaging.topology import Stage
from workers.runtime import stage_result
from workers.runtime.settlement import MAX_UNVERIFIED_BODY, Item, Settlement, Settler

NOW = 1000.0
RAW = Envelope("i1", "default", "notify", "POST", 5.5, b"data=1&sign=2", "text/form", "q=1")
LATER_STAGE = replace(RAW, query="", body=b"as it came", content_type="application/json", biz_id="1,a")
RELEASE = ("HDEL", "p:case:{default}:1,a", "owner", "signed_recheck", "unsigned_recheck")


class Value:
    """The output of a stage."""

    biz_id = "1,a"

    def dump(self) -> bytes:
        return b'{"made": "by a stage"}'


def settler() -> Settler:
    return Settler("p", max_attempts=3, clock=lambda: NOW)


def at(stage: Stage, envelope: Envelope = LATER_STAGE, attempts: int = 0) -> Item:
    """An item before a stage. The first stage's input is the request's body, the others' are values."""
    value: Any = envelope.body if stage == "verify" else Value()
    return Item(stage, replace(envelope, attempts=attempts), value)


def raw() -> Item:
    return at("verify", RAW)


def stored_in(writes: tuple[Command, ...]) -> tuple[str, StoredMessage]:
    """The key of the message set, and the item that the last command, or the last two, add to it."""
    if writes[-1][0] == "STORE":
        _, key, items, _, score, name, dump = writes[-1]
        assert score == "" or float(cast("str", score)) >= 0, "Redis's clock"
    else:
        (zadd, key, score, member), (hset, items, name, dump) = writes[-2:]
        assert (zadd, hset, member) == ("ZADD", "HSET", name)
        assert float(score) == StoredMessage.load(cast("bytes", dump)).at
    assert isinstance(key, str)
    assert isinstance(dump, bytes)
    stored = StoredMessage.load(dump)
    assert (items, name) == (f"{key}:items", stored.id)
    return key, stored


def test_forward_publishes_the_value_to_the_next_stages_queue() -> None:
    settled = settler().settle("t", raw(), stage_result.Forward(Value()))
    (message,) = settled.messages
    assert settled == Settlement("t", messages=(message,))
    assert message.queue == "p.verified"
    assert (message.body, message.content_type) == (b'{"made": "by a stage"}', "application/json")
    assert Envelope.read(message.headers, message.content_type, message.body) == replace(
        RAW, body=message.body, content_type="application/json", query="", biz_id="1,a"
    )


@pytest.mark.parametrize(
    ("stage", "queue"), [("verify", "p.verified"), ("reconcile", "p.reconciled"), ("classify", "p.decided")]
)
def test_each_stage_forwards_to_its_own_queue(stage: Stage, queue: str) -> None:
    (message,) = settler().settle("t", at(stage), stage_result.Forward(Value())).messages
    assert message.queue == queue


def test_forward_resets_the_failed_attempts() -> None:
    (message,) = settler().settle("t", at("reconcile", attempts=2), stage_result.Forward(Value())).messages
    assert "attempts" not in message.headers


def test_publish_publishes_results_once() -> None:
    messages, once = (
        (Message("p.decisions", b"{}", "application/json", {}),),
        ("p:case:{default}:1,a", "published", "id"),
    )
    settled = settler().settle("t", at("publish"), stage_result.Publish(messages, once))
    assert settled == Settlement("t", results=messages, once=once)


def test_drop_writes_nothing() -> None:
    assert settler().settle("t", at("reconcile"), stage_result.Drop("joined")) == Settlement("t")


def test_an_unverified_callback_is_stored_with_all_its_parts() -> None:
    settled = settler().settle("t", raw(), stage_result.Unverified("malformed", "no form"))
    message_set, stored = stored_in(settled.writes)
    assert message_set == "p:unverified"
    assert settled == Settlement("t", writes=settled.writes)
    assert len(settled.writes) == 1
    assert (stored.stage, stored.reason, stored.detail, stored.at) == ("verify", "malformed", "no form", NOW)
    assert stored.message == RAW.to_message("p.callbacks")


def test_a_bad_signature_is_counted_in_the_step_that_stores_it() -> None:
    settled = settler().settle("t", raw(), stage_result.Unverified("bad_signature", "no secret"))
    message_set, stored = stored_in(settled.writes)
    assert (message_set, stored.reason) == ("p:unverified", "bad_signature")
    key = "p:counters:{default}:16"  # the minute that NOW is in
    assert settled.writes[:-1] == (("HINCRBY", key, "bad_signature", 1), ("EXPIRE", key, 7200))


def test_a_delayed_item_is_stored_for_its_stage_with_its_due_time() -> None:
    settled = settler().settle("t", at("reconcile"), stage_result.Delay(60, "read_spacing"))
    message_set, stored = stored_in(settled.writes)
    assert message_set == "p:delayed"
    assert settled == Settlement("t", writes=settled.writes)
    ((command, *_, later, _, _),) = settled.writes
    assert (command, later) == ("STORE", "+60.000000"), "after the time of Redis's clock"
    assert (stored.stage, stored.reason, stored.at, stored.attempts) == ("reconcile", "read_spacing", NOW + 60, 0)
    assert (stored.account, stored.biz_id) == ("default", "1,a")
    assert stored.message is not None
    assert (stored.message.queue, stored.message.body) == ("p.verified", b'{"made": "by a stage"}')


@pytest.mark.parametrize(("spends", "attempts"), [(True, 2), (False, 1)])
def test_a_delay_spends_an_attempt_only_if_it_says_so(spends: bool, attempts: int) -> None:
    settled = settler().settle("t", at("reconcile", attempts=1), stage_result.Delay(1, "why", attempt=spends))
    _, stored = stored_in(settled.writes)
    assert stored.attempts == attempts
    assert stored.message is not None
    assert stored.message.headers["attempts"] == attempts


@pytest.mark.parametrize(("seconds", "later"), [(86_460.0, "+100.000000"), (-5.0, "")])
def test_a_delay_is_never_longer_than_the_longest_one(seconds: float, later: str) -> None:
    limited = Settler("p", max_attempts=3, clock=lambda: NOW, longest_delay=100.0)
    settled = limited.settle("t", at("reconcile"), stage_result.Delay(seconds, "open_case"))
    assert [command[4] for command in settled.writes] == [later]


def test_a_delay_after_the_last_attempt_makes_a_dead_letter() -> None:
    settled = settler().settle("t", at("reconcile", attempts=2), stage_result.Delay(1, "why", attempt=True))
    message_set, stored = stored_in(settled.writes)
    assert message_set == "p:dead"
    assert (stored.reason, stored.detail, stored.attempts, stored.at) == ("attempts_exhausted", "why", 3, NOW)


def test_delays_without_an_attempt_never_exhaust_the_attempts() -> None:
    settled = settler().settle("t", at("reconcile", attempts=3), stage_result.Delay(1, "ledger_unavailable"))
    assert stored_in(settled.writes)[0] == "p:delayed"


def test_a_dead_letter_keeps_the_envelope_and_resets_its_attempts() -> None:
    settled = settler().settle(
        "t", at("classify", attempts=2), stage_result.DeadLetter("error", "KeyError at x.py:1 in f")
    )
    message_set, stored = stored_in(settled.writes)
    assert message_set == "p:dead"
    assert (stored.id, stored.stage, stored.reason) == ("i1", "classify", "error")
    assert (stored.detail, stored.attempts) == ("KeyError at x.py:1 in f", 2)
    assert stored.message is not None
    assert stored.message.queue == "p.reconciled"
    assert Envelope.read(stored.message.headers, "", b"") == replace(LATER_STAGE, body=b"", content_type="")


def test_a_dead_letter_lets_another_item_own_the_case() -> None:
    settled = settler().settle("t", at("reconcile"), stage_result.DeadLetter("poison", ""))
    assert settled.writes[:-1] == (RELEASE,)


def test_of_a_long_unverified_body_the_first_part_the_length_and_the_digest_are_kept() -> None:
    body = b"x" * MAX_UNVERIFIED_BODY + b"y"
    item = Item("verify", replace(RAW, body=body), body)
    _, stored = stored_in(settler().settle("t", item, stage_result.Unverified("malformed", "no form")).writes)
    assert stored.message is not None
    assert stored.message.body == body[:-1]
    assert (stored.body_bytes, stored.body_sha256) == (len(body), sha256(body).hexdigest())


def test_a_long_body_of_a_dead_letter_is_kept_whole() -> None:
    body = b"x" * 2 * MAX_UNVERIFIED_BODY
    item = Item("verify", replace(RAW, body=body), body)
    _, stored = stored_in(settler().settle("t", item, stage_result.UNKNOWN_ACCOUNT).writes)
    assert stored.message is not None
    assert (stored.message.body, stored.body_bytes) == (body, 0)


def test_a_dead_letter_without_a_known_case_releases_no_case() -> None:
    settled = settler().settle("t", raw(), stage_result.DeadLetter("poison", ""))
    assert len(settled.writes) == 1


def test_an_unreadable_entry_is_stored_with_its_fields() -> None:
    entry = ((b"body", b"\xff"), (b"headers", b"{"))
    delivery = Delivery("7-0/1", "callbacks", {}, "", b"\xff", fault="headers: not JSON", entry=entry)
    settled = settler().undecodable(delivery, "headers: not JSON")
    message_set, stored = stored_in(settled.writes)
    assert message_set == "p:dead"
    assert settled == Settlement("7-0/1", writes=settled.writes)
    assert (stored.stage, stored.reason, stored.detail) == ("verify", "undecodable", "headers: not JSON")
    assert (stored.entry, stored.message) == (entry, None)


def test_a_message_that_is_no_envelope_is_stored_with_its_headers() -> None:
    delivery = Delivery("7-0/1", "verified", {"id": 5}, "text/plain", b"body")
    _, stored = stored_in(settler().undecodable(delivery, "headers: id is missing").writes)
    assert stored.stage == "reconcile"
    assert stored.message == Message("p.verified", b"body", "text/plain", {"id": 5})


def test_undecodable_messages_get_different_ids() -> None:
    ids = {
        stored_in(settler().undecodable(Delivery(tag, queue, {}, "", b""), "").writes)[1].id
        for tag, queue in [("1-0/1", "callbacks"), ("1-1/2", "callbacks"), ("1-0/1", "verified")]
    }
    assert len(ids) == 3


def test_an_item_before_verify_keeps_the_raw_request_as_its_body() -> None:
    assert raw().packed() == RAW
    following = raw().forward(Value())
    assert following.stage == "reconcile"
    assert following.packed().body == b'{"made": "by a stage"}'


def test_the_repr_of_a_dead_letter_contains_no_values_of_the_item() -> None:
    settled = settler().settle("t", raw(), stage_result.DeadLetter("error", "KeyError at x.py:1 in f"))
    _, stored = stored_in(settled.writes)
    assert "data=1" not in str(dataclasses.replace(stored, message=None))


def test_storing_an_item_twice_has_the_same_effect_as_once() -> None:
    stored = StoredMessage("i", "verify", "poison", "", 0.1 + 0.2)
    assert put_commands("p", "dead", stored) == put_commands("p", "dead", StoredMessage.load(stored.dump()))
