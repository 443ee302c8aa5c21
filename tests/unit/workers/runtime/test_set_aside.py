"""A message whose settlement is refused becomes a dead letter, without the command that was refused."""

from shared.ledger.message_set import put_commands
from shared.messaging.delivery import Delivery
from shared.messaging.message import Message
from shared.messaging.stored_message import StoredMessage
from workers.runtime.set_aside import set_aside
from workers.runtime.settlement import Settlement

NOW = 1_000_000.5
HEADERS: dict[str, str | int | float] = {
    "id": "i1",
    "account": "a",
    "channel": "notify",
    "method": "POST",
    "received_at": 1.5,
    "biz_id": "1,a",
}
DELIVERY = Delivery("7-0/1", "verified", HEADERS, "application/json", b"{}")


def letter(settlement: Settlement) -> StoredMessage:
    (store,) = [command for command in settlement.writes if command[1] == "p:dead"]
    assert store[0] == "STORE"
    assert isinstance(store[-1], bytes)
    return StoredMessage.load(store[-1])


def test_the_message_as_it_was_delivered_becomes_a_dead_letter() -> None:
    refused = Settlement("7-0/1", results=(Message("p.decisions", b"", "", {}),), once=("p:case", "published", "1"))
    aside = set_aside("p", refused, DELIVERY, "WRONGTYPE", NOW)
    stored = letter(aside)
    assert (aside.tag, aside.messages, aside.results, aside.once) == ("7-0/1", (), (), None)
    assert (stored.id, stored.stage, stored.reason) == ("i1", "reconcile", "error")
    assert stored.detail == "the settlement was refused: WRONGTYPE"
    assert (stored.account, stored.biz_id) == ("a", "1,a")
    assert stored.message == Message("p.verified", b"{}", "application/json", HEADERS)


def test_a_settlement_that_makes_a_dead_letter_keeps_it_and_loses_the_other_commands() -> None:
    first = set_aside("p", Settlement("t"), DELIVERY, "ERR", NOW)
    exhausted = Settlement("t", writes=(("HDEL", "p:case:{a}:1,a", "owner"), first.writes[0]))
    assert set_aside("p", exhausted, DELIVERY, "WRONGTYPE", NOW).writes[0] == first.writes[0]
    assert len(set_aside("p", exhausted, DELIVERY, "WRONGTYPE", NOW).writes) == 3


def test_a_refused_delay_becomes_a_dead_letter() -> None:
    stored = StoredMessage("i1", "reconcile", "read_spacing", "", NOW)
    refused = Settlement("t", writes=put_commands("p", "delayed", stored))
    assert letter(set_aside("p", refused, DELIVERY, "WRONGTYPE", NOW)).reason == "error"


def test_it_is_counted_for_the_alert() -> None:
    writes = set_aside("p", Settlement("t"), DELIVERY, "WRONGTYPE", NOW).writes
    assert writes[1:] == (("HINCRBY", "p:counters:{_}:16666", "refused", 1), ("EXPIRE", "p:counters:{_}:16666", 7200))


def test_a_message_that_is_no_envelope_is_named_by_its_queue_and_place() -> None:
    delivery = Delivery("7-0/1", "verified", {"id": "\ud800"}, "", b"x")
    assert letter(set_aside("p", Settlement("t"), delivery, "UnicodeEncodeError", NOW)).id == "verified:7-0"
