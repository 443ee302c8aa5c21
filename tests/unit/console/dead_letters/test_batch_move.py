import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

import fakeredis
import pytest
from redis import Redis

from console.dead_letters.batch_move import BATCH_BYTES, TOMBSTONES, MoveContext, MoveCounts, Pace, batches, move
from console.dead_letters.drop import Drop
from console.dead_letters.replay import CrossServerReplay, Replay, without_attempts
from shared.ledger.case_key import CaseKey, case_key
from shared.ledger.message_set import Command, MessageSet, put_commands
from shared.messaging.message import Message
from shared.messaging.stored_message import StoredMessage
from tests.support.stored_messages import NOW, SECRET_TEXT, dead_letter, unreadable

CONTEXT = MoveContext("faceid", "dead", "alice", NOW, "fixed", retention_ms=60_000)


class MoveToList:
    """Moves items to a Redis list."""

    def __init__(self) -> None:
        self.prepared: list[int] = []

    def refusal(self, stored: StoredMessage) -> str:
        return "NO_SUCH_QUEUE" if stored.reason == "poison" else ""

    def prepare(self, batch: Sequence[StoredMessage]) -> None:
        self.prepared.append(len(batch))

    def commands(self, stored: StoredMessage) -> Sequence[Command]:
        return [("RPUSH", "bad" if stored.reason == "bad" else "left", stored.id)]


@pytest.fixture
def redis() -> Redis:
    return fakeredis.FakeRedis()


def put(redis: Redis, *items: StoredMessage) -> MessageSet:
    for stored in items:
        for command in put_commands("faceid", "dead", stored):
            redis.execute_command(*command)
    return MessageSet(redis, "faceid", "dead")


def stones(redis: Redis) -> MessageSet:
    return MessageSet(redis, "faceid", "tombstones")


@pytest.mark.parametrize("note", ["fixed", ""])
def test_the_note_of_a_replay_without_a_case_is_kept_in_a_tombstone(redis: Redis, note: str) -> None:
    unknown = replace(dead_letter(1, reason="unknown_account"), biz_id="")
    message_set, context = put(redis, unknown), replace(CONTEXT, note=note)

    move(message_set, [unknown], Replay(context, stones(redis)), Pace(None), counts := MoveCounts(), lambda _: None)

    kept = [(stone.id, stone.detail, stone.message) for stone in stones(redis)]
    assert counts.moved == 1
    assert kept == ([(unknown.id, "replayed by alice: fixed", None)] if note else [])


def test_a_move_counts_moved_gone_and_refused_items(redis: Redis) -> None:
    redis.set("bad", "no list")
    items = [dead_letter(1), dead_letter(2, reason="bad"), dead_letter(3, reason="poison"), dead_letter(4)]
    message_set = put(redis, *items)
    counts, steps, action = MoveCounts(), list[int](), MoveToList()

    move(message_set, [*items, dead_letter(5)], action, Pace(None), counts, steps.append)

    assert (counts.moved, counts.gone, counts.refused) == (2, 1, {"WRONGTYPE": 1, "NO_SUCH_QUEUE": 1})
    assert (action.prepared, steps) == ([4], [5])
    assert [stored.id for stored in message_set] == ["item-3", "item-2"]


def test_a_batch_is_limited_in_items_and_in_bytes() -> None:
    large = dead_letter(message=Message("q", b"x" * BATCH_BYTES, "", {}))
    items = [dead_letter(), dead_letter(), dead_letter(), large, unreadable()]

    assert [len(batch) for batch in batches(items, 2)] == [2, 2, 1]
    assert [len(batch) for batch in batches(items, 500)] == [4, 1]


class Clock:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.mark.parametrize("rate", [0.5, 3, 50, 100_000])
def test_a_rate_is_held_with_small_batches(rate: float) -> None:
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


def test_a_replayed_message_loses_its_attempts_and_nothing_else() -> None:
    message = dead_letter().message
    assert message is not None

    again = without_attempts(replace(message, headers={**message.headers, "x-delivery-count": 5}))

    assert again == replace(
        message, headers={name: value for name, value in message.headers.items() if name != "attempts"}
    )


def test_a_move_is_noted_on_the_case_if_the_case_is_known() -> None:
    (hset, key, field, note), (pexpire, _, ttl) = CONTEXT.note_commands("replay", dead_letter(3))

    assert (hset, pexpire, ttl) == ("HSET", "PEXPIRE", 60_000)
    assert key == case_key("faceid", CaseKey("default", "1795334000,case-3"))
    assert field == f"replay:item-3:{NOW * 1000:.0f}"
    assert json.loads(str(note)) == {
        "by": "alice",
        "note": "fixed",
        "message_set": "dead",
        "stage": "reconcile",
        "reason": "error",
    }
    assert CONTEXT.note_commands("replay", unreadable()) == ()


def test_a_dropped_item_leaves_a_tombstone_without_its_message_and_releases_its_case(redis: Redis) -> None:
    case = case_key("faceid", CaseKey("default", "1795334000,case-1"))
    redis.hset(case, mapping={"owner": "item-1", "unsigned_recheck": "item-0", "opened_at": "1"})
    message_set, tombstones = put(redis, dead_letter()), MessageSet(redis, "faceid", "tombstones")

    move(message_set, [dead_letter()], Drop(CONTEXT, tombstones), Pace(None), MoveCounts(), lambda _: None)

    (stone,) = tombstones
    assert (stone.id, stone.stage, stone.reason, stone.at, stone.message) == ("item-1", "reconcile", "error", NOW, None)
    assert "alice" in stone.detail
    assert SECRET_TEXT not in stone.dump()
    kept: Any = redis.hgetall(case)
    assert set(kept) == {b"opened_at", f"drop:item-1:{NOW * 1000:.0f}".encode()}


def test_tombstones_are_capped(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    assert TOMBSTONES == 10_000
    monkeypatch.setattr("console.dead_letters.batch_move.TOMBSTONES", 3)
    items = [dead_letter(number) for number in range(1, 6)]
    message_set, tombstones = put(redis, *items), MessageSet(redis, "faceid", "tombstones")

    for stored in items:
        move(message_set, [stored], Drop(CONTEXT, tombstones), Pace(None), MoveCounts(), lambda _: None)

    assert len(tombstones) == 3


@pytest.mark.parametrize("text", ["plain", "\u00e9", "\ud800 lone surrogate"])
def test_a_message_is_replayed_whatever_its_headers_hold(redis: Redis, text: str) -> None:
    stored = dead_letter()
    assert stored.message is not None
    stored = replace(stored, message=replace(stored.message, headers={**stored.message.headers, "query": text}))
    message_set = put(redis, stored)

    move(
        message_set,
        list(message_set),
        Replay(CONTEXT, stones(redis)),
        Pace(None),
        counts := MoveCounts(),
        lambda _: None,
    )

    ((_, fields),) = cast("list[tuple[bytes, dict[bytes, bytes]]]", redis.xrange("faceid.verified"))
    assert (counts.moved, len(message_set)) == (1, 0)
    assert (fields[b"body"], fields[b"content_type"]) == (SECRET_TEXT, b"application/json")
    assert json.loads(fields[b"headers"])["query"] == text


def test_refused_items_are_explained(capsys: pytest.CaptureFixture[str]) -> None:
    MoveCounts(moved=1, gone=2, refused=Counter({"NO_SUCH_QUEUE": 1, "WRONGTYPE": 3})).print("replayed")

    captured = capsys.readouterr()
    assert captured.out.splitlines() == ["1 replayed", "2 already gone: replayed or dropped by somebody else"]
    assert captured.err.splitlines()[::2] == [
        "1 refused (NO_SUCH_QUEUE) and not replayed.",
        "3 refused (WRONGTYPE) and not replayed.",
    ]


def test_an_item_with_only_the_first_part_of_its_body_is_not_replayed(
    redis: Redis, capsys: pytest.CaptureFixture[str]
) -> None:
    short = dead_letter(2).shortened(10)
    message_set, counts, broker = put(redis, dead_letter(1), short), MoveCounts(), Broker()

    move(message_set, list(message_set), Replay(CONTEXT, stones(redis)), Pace(None), counts, lambda _: None)
    move(
        message_set,
        list(message_set),
        CrossServerReplay(CONTEXT, stones(redis), broker, None),
        Pace(None),
        counts,
        lambda _: None,
    )
    counts.print("replayed")

    assert (counts.moved, counts.refused, broker.messages) == (1, {"BODY_SHORTENED": 2}, [])
    assert list(message_set) == [short]
    assert "2 refused (BODY_SHORTENED) and not replayed." in capsys.readouterr().err


class Broker:
    """A publisher that keeps the messages."""

    def __init__(self) -> None:
        self.messages: list[Message] = []

    def publish(self, messages: Sequence[Message]) -> None:
        self.messages += messages


def test_a_replay_to_another_broker_publishes_a_message_before_it_leaves_the_message_set(redis: Redis) -> None:
    broker, added = Broker(), list[Command]()
    message_set = put(redis, dead_letter(), unreadable())
    action = CrossServerReplay(CONTEXT, stones(redis), broker, added.extend)

    move(message_set, list(message_set), action, Pace(None), counts := MoveCounts(), lambda _: None)

    assert [message.body for message in broker.messages] == [SECRET_TEXT]
    assert added == [("XADD", "faceid.callbacks", "*", b"foo", b"private \xff", b"bar", b"")]
    assert (counts.moved, len(message_set)) == (2, 0)


def test_an_item_that_fails_again_during_a_replay_stays(redis: Redis) -> None:
    class FailsAgain(Broker):
        def publish(self, messages: Sequence[Message]) -> None:
            super().publish(messages)
            put(redis, dead_letter(1, at=NOW + 5, reason="poison"))

    broker, message_set = FailsAgain(), put(redis, dead_letter(1), dead_letter(2))

    move(
        message_set,
        list(message_set),
        CrossServerReplay(CONTEXT, stones(redis), broker, None),
        Pace(None),
        counts := MoveCounts(),
        lambda _: None,
    )

    assert (len(broker.messages), counts.moved) == (2, 1)
    assert [(stored.id, stored.reason) for stored in message_set] == [("item-1", "poison")]


def test_an_unreadable_stream_entry_stays_when_the_broker_is_not_redis(redis: Redis) -> None:
    broker = Broker()
    message_set = put(redis, dead_letter(), unreadable())

    move(
        message_set,
        list(message_set),
        CrossServerReplay(CONTEXT, stones(redis), broker, None),
        Pace(None),
        counts := MoveCounts(),
        lambda _: None,
    )

    assert (counts.moved, counts.refused) == (1, {"NO_SUCH_QUEUE": 1})
    assert [stored.id for stored in message_set] == ["callbacks:9-0"]
