import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import fakeredis
import pytest
from redis import Redis

from console.dead_letters.batch_move import BATCH_BYTES, MoveCounts, Pace, batches, move
from console.dead_letters.replay import TOMBSTONES, CrossServerReplay, Drop, MoveContext, fresh
from shared.ledger.case_key import CaseKey, case_key
from shared.ledger.message_set import Command, MessageSet, put_commands
from shared.messaging.message import Message
from shared.messaging.stored_message import StoredMessage
from tests.support.stored_messages import NOW, SECRET_TEXT, letter, unreadable

HAND = MoveContext("faceid", "dead", "alice", NOW, "mended", retention_seconds=60)


class Leaving:
    """Items leave for a list."""

    def __init__(self) -> None:
        self.prepared: list[int] = []

    def can_take(self, stored: StoredMessage) -> bool:
        return stored.reason != "poison"

    def prepare(self, batch: Sequence[StoredMessage]) -> None:
        self.prepared.append(len(batch))

    def commands(self, stored: StoredMessage) -> Sequence[Command]:
        return [("RPUSH", "bad" if stored.reason == "bad" else "left", stored.id)]


@pytest.fixture
def redis() -> "Redis":
    return fakeredis.FakeRedis()


def put(redis: "Redis", *letters: StoredMessage) -> MessageSet:
    for stored in letters:
        for command in put_commands("faceid", "dead", stored):
            redis.execute_command(*command)
    return MessageSet(redis, "faceid", "dead")


def test_a_move_tells_what_left_what_had_gone_and_what_was_refused(redis: "Redis") -> None:
    redis.set("bad", "no list")
    letters = [letter(1), letter(2, reason="bad"), letter(3, reason="poison"), letter(4)]
    message_set = put(redis, *letters)
    counts, steps, leaving = MoveCounts(), list[int](), Leaving()

    move(message_set, [*letters, letter(5)], leaving, Pace(None), counts, steps.append)

    assert (counts.left, counts.gone, counts.refused) == (2, 1, {"WRONGTYPE": 1, "NO_SUCH_QUEUE": 1})
    assert (leaving.prepared, steps) == ([4], [5])
    assert [stored.id for stored in message_set] == ["item-3", "item-2"]


def test_batches_are_cut_by_number_and_by_size() -> None:
    large = letter(message=Message("q", b"x" * BATCH_BYTES, "", {}))
    items = [letter(), letter(), letter(), large, unreadable()]

    assert [len(batch) for batch in batches(items, 2)] == [2, 2, 1]
    assert [len(batch) for batch in batches(items, 500)] == [4, 1]


class Clock:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.mark.parametrize("rate", [0.5, 3, 50, 100_000])
def test_a_rate_is_held_in_small_steps(rate: float) -> None:
    clock = Clock()
    pace = Pace(rate, lambda: clock.now, clock.sleep)
    done = 0
    while done < 10 * rate:
        pace.wait(pace.batch)
        done += pace.batch

    assert clock.now - 100 == pytest.approx((done - pace.batch) / rate)
    assert pace.batch / rate <= max(0.1, 1 / rate)


def test_without_a_rate_nothing_waits() -> None:
    clock = Clock()
    Pace(None, lambda: clock.now, clock.sleep).wait(1_000_000)

    assert clock.now == 100


def test_a_replayed_message_forgets_its_attempts_and_nothing_else() -> None:
    message = letter().message
    assert message is not None

    again = fresh(replace(message, headers={**message.headers, "x-delivery-count": 5}))

    assert again == replace(
        message, headers={name: value for name, value in message.headers.items() if name != "attempts"}
    )


def test_a_move_is_noted_on_the_case_where_that_is_known() -> None:
    (hset, key, field, told), (pexpire, _, life) = HAND.noted("replay", letter(3))

    assert (hset, pexpire, life) == ("HSET", "PEXPIRE", 60_000)
    assert key == case_key("faceid", CaseKey("default", "1795334000,case-3"))
    assert field == f"replay:item-3:{NOW * 1000:.0f}"
    assert json.loads(str(told)) == {
        "by": "alice",
        "note": "mended",
        "message_set": "dead",
        "stage": "reconcile",
        "reason": "error",
    }
    assert HAND.noted("replay", unreadable()) == ()


def test_a_dropped_item_leaves_a_tombstone_without_its_message_and_releases_its_case(redis: "Redis") -> None:
    case = case_key("faceid", CaseKey("default", "1795334000,case-1"))
    redis.hset(case, mapping={"owner": "item-1", "unsigned_recheck": "item-0", "opened_at": "1"})
    message_set, tombstones = put(redis, letter()), MessageSet(redis, "faceid", "tombstones")

    move(message_set, [letter()], Drop(HAND, tombstones), Pace(None), MoveCounts(), lambda _: None)

    (stone,) = tombstones
    assert (stone.id, stone.stage, stone.reason, stone.at, stone.message) == ("item-1", "reconcile", "error", NOW, None)
    assert "alice" in stone.detail
    assert SECRET_TEXT not in stone.dump()
    kept: Any = redis.hgetall(case)
    assert set(kept) == {b"opened_at", f"drop:item-1:{NOW * 1000:.0f}".encode()}


def test_tombstones_are_capped(redis: "Redis", monkeypatch: pytest.MonkeyPatch) -> None:
    assert TOMBSTONES == 10_000
    monkeypatch.setattr("console.dead_letters.replay.TOMBSTONES", 3)
    letters = [letter(number) for number in range(1, 6)]
    message_set, tombstones = put(redis, *letters), MessageSet(redis, "faceid", "tombstones")

    for stored in letters:
        move(message_set, [stored], Drop(HAND, tombstones), Pace(None), MoveCounts(), lambda _: None)

    assert len(tombstones) == 3


class Broker:
    """Stands in for a Publisher."""

    def __init__(self) -> None:
        self.messages: list[Message] = []

    def publish(self, messages: Sequence[Message]) -> None:
        self.messages += messages


def test_on_another_broker_the_message_is_published_before_it_leaves_the_shelf(redis: "Redis") -> None:
    broker, added = Broker(), list[Command]()
    message_set = put(redis, letter(), unreadable())
    way = CrossServerReplay(HAND, broker, added.extend)

    move(message_set, list(message_set), way, Pace(None), counts := MoveCounts(), lambda _: None)

    assert [message.body for message in broker.messages] == [SECRET_TEXT]
    assert added == [("XADD", "faceid.callbacks", "*", b"foo", b"private \xff", b"bar", b"")]
    assert (counts.left, len(message_set)) == (2, 0)


def test_what_fails_again_before_it_has_left_the_shelf_stays_there_anew(redis: "Redis") -> None:
    class Failing(Broker):
        def publish(self, messages: Sequence[Message]) -> None:
            super().publish(messages)
            put(redis, letter(1, at=NOW + 5, reason="poison"))

    broker, message_set = Failing(), put(redis, letter(1), letter(2))

    move(
        message_set,
        list(message_set),
        CrossServerReplay(HAND, broker, None),
        Pace(None),
        counts := MoveCounts(),
        lambda _: None,
    )

    assert (len(broker.messages), counts.left) == (2, 1)
    assert [(stored.id, stored.reason) for stored in message_set] == [("item-1", "poison")]


def test_what_was_found_in_a_stream_stays_when_the_broker_has_no_streams(redis: "Redis") -> None:
    broker = Broker()
    message_set = put(redis, letter(), unreadable())

    move(
        message_set,
        list(message_set),
        CrossServerReplay(HAND, broker, None),
        Pace(None),
        counts := MoveCounts(),
        lambda _: None,
    )

    assert (counts.left, counts.refused) == (1, {"NO_SUCH_QUEUE": 1})
    assert [stored.id for stored in message_set] == ["callbacks:9-0"]
