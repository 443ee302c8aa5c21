"""Message sets: items are read in pages while others change them, and each is taken once."""

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import cast

import pytest
from redis import Redis

from shared.ledger import message_set as message_set_module
from shared.ledger.message_set import PAGE, Bounds, MessageSet, TakeRefused, put_commands
from shared.messaging.message import Message
from shared.messaging.publisher import Publisher
from shared.messaging.stored_message import StoredMessage
from tests.support.redis_clients import open_redis
from tests.support.servers import RedisServer
from workers.sources.cross_server_writes import release

QUEUE = "faceid.verified"


@pytest.fixture
def redis(any_redis_url: str) -> "Iterator[Redis]":
    with open_redis(any_redis_url) as client:
        yield client


@pytest.fixture
def message_set(redis: "Redis") -> MessageSet:
    return MessageSet(redis, "faceid", "dead")


def item(number: int, at: float, body: bytes = b"a=b") -> StoredMessage:
    return StoredMessage(
        f"item-{number:04}", "reconcile", "error", "", at, message=Message(QUEUE, body, "application/json", {"a": 1})
    )


def seconds(redis: "Redis") -> float:
    """The server's clock."""
    whole, microseconds = redis.time()
    return int(whole) + int(microseconds) / 1e6


def put(redis: "Redis", *items: StoredMessage) -> None:
    with redis.pipeline(transaction=False) as pipe:
        for stored in items:
            for command in put_commands("faceid", "dead", stored):
                pipe.execute_command(*command)
        pipe.execute()


def ids(items: "Iterator[StoredMessage] | list[StoredMessage] | MessageSet") -> list[str]:
    return [stored.id for stored in items]


def test_items_are_read_oldest_first_over_all_pages(redis: "Redis", message_set: MessageSet) -> None:
    put(redis, *(item(number, 5000.5 - number) for number in range(2 * PAGE + 7)))

    assert ids(message_set) == [f"item-{number:04}" for number in reversed(range(2 * PAGE + 7))]


def test_more_items_of_the_same_time_than_fit_a_page_are_read_once_each(
    redis: "Redis", message_set: MessageSet
) -> None:
    put(redis, *(item(number, 1000.25) for number in range(2 * PAGE + 7)), item(9999, 1001))

    found = ids(message_set)

    assert len(found) == len(set(found)) == 2 * PAGE + 8


def test_items_can_be_taken_while_they_are_read(redis: "Redis", message_set: MessageSet) -> None:
    put(redis, *(item(number, 1000 + number) for number in range(PAGE + 50)))

    taken = [message_set.take([(stored.id, ())]) for stored in message_set]

    assert taken == [[True]] * (PAGE + 50)
    assert len(message_set) == 0


def test_a_time_range_includes_both_ends(redis: "Redis", message_set: MessageSet) -> None:
    put(redis, *(item(number, 1000 + number) for number in range(10)))

    assert ids(message_set.between(1002, 1004)) == ["item-0002", "item-0003", "item-0004"]


def test_the_newest_time_of_an_empty_set_is_before_all_times(redis: "Redis", message_set: MessageSet) -> None:
    assert list(message_set.between(float("-inf"), message_set.newest())) == []
    put(redis, item(1, 1000.5), item(2, 999))
    assert message_set.newest() == 1000.5


def test_items_are_found_by_id_and_unknown_ids_are_left_out(redis: "Redis", message_set: MessageSet) -> None:
    put(redis, item(1, 1000), item(2, 1001))

    assert ids(message_set.get(["item-0002", "unknown", "item-0001"])) == ["item-0002", "item-0001"]
    assert message_set.get([]) == []


def test_a_sample_has_different_items(redis: "Redis", message_set: MessageSet) -> None:
    put(redis, *(item(number, 1000) for number in range(30)))

    assert len(set(ids(message_set.sample(10)))) == 10
    assert len(set(ids(message_set.sample(50)))) == 30


def test_large_items_are_read_a_few_at_a_time(
    redis: "Redis", message_set: MessageSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(message_set_module, "PAGE_BYTES", 3000)
    put(redis, *(item(number, 1000 + number, b"x" * 1000) for number in range(20)))
    items = iter(message_set)

    first = list(islice(items, 2))
    message_set.take([(f"item-{number:04}", ()) for number in range(10, 20)])

    assert ids(first) == ["item-0000", "item-0001"]
    assert ids(items) == [f"item-{number:04}" for number in range(2, 10)]


def test_an_item_larger_than_a_page_is_read_alone(
    redis: "Redis", message_set: MessageSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(message_set_module, "PAGE_BYTES", 100)
    put(redis, *(item(number, 1000 + number, b"x" * 1000) for number in range(3)))

    assert len(list(message_set)) == 3


def test_an_item_leaves_together_with_its_commands_once(redis: "Redis", message_set: MessageSet) -> None:
    put(redis, item(1, 1000))
    leaving = [("item-0001", [("XADD", QUEUE, "*", "body", b"a=b"), ("HSET", "case", "noted", 1)])]

    assert [message_set.take(leaving), message_set.take(leaving)] == [[True], [False]]
    assert (redis.xlen(QUEUE), redis.hgetall("case"), len(message_set)) == (1, {b"noted": b"1"}, 0)


def test_an_item_whose_command_is_refused_stays_unchanged(redis: "Redis", message_set: MessageSet) -> None:
    redis.set("text", "no stream")
    before = item(2, 1000.125, bytes(range(256)))
    put(redis, item(1, 1000), before, item(3, 1001))
    leaving = [(f"item-{number:04}", [("XADD", QUEUE, "*", "a", "b")]) for number in (1, 3, 4)]
    leaving.insert(1, ("item-0002", [("XADD", "text", "*", "a", "b")]))

    with pytest.raises(TakeRefused, match="WRONGTYPE") as refusal:
        message_set.take(leaving)

    assert refusal.value.results == [True, None, True, False]
    assert list(message_set) == [before]
    assert redis.xlen(QUEUE) == 2


def test_a_command_with_too_many_arguments_loses_no_item(redis: "Redis", message_set: MessageSet) -> None:
    put(redis, item(1, 1000))

    with pytest.raises(TakeRefused):
        message_set.take([("item-0001", [("XADD", QUEUE, "*", *(b"x" for _ in range(9000)))])])

    assert ids(message_set) == ["item-0001"]


@pytest.mark.parametrize("every", [1, 2, 7])
def test_items_of_the_same_time_are_all_read_while_some_are_taken(
    every: int, redis: "Redis", message_set: MessageSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(message_set_module, "PAGE", 20)
    put(redis, *(item(number, 1000.25) for number in range(107)))
    met = []

    for place, stored in enumerate(message_set):
        met.append(stored.id)
        if place % every == 0:
            message_set.take([(stored.id, ())])

    assert sorted(met) == [f"item-{number:04}" for number in range(107)]


def test_of_many_clients_that_take_an_item_one_moves_it(
    any_redis_url: str, redis: "Redis", message_set: MessageSet
) -> None:
    put(redis, *(item(number, 1000) for number in range(50)))

    def take_all(order: int) -> int:
        with open_redis(any_redis_url) as client:
            numbers = sorted(range(50), key=lambda number: number * order % 53)
            moves = [(f"item-{number:04}", [("RPUSH", "moved", number)]) for number in numbers]
            own = MessageSet(client, "faceid", "dead")
            return sum(own.take(moves[at : at + 5]).count(True) for at in range(0, 50, 5))

    with ThreadPoolExecutor(8) as crowd:
        assert sum(crowd.map(take_all, range(1, 9))) == 50

    assert sorted(int(number) for number in redis.lrange("moved", 0, -1)) == list(range(50))
    assert len(message_set) == 0


def test_an_item_put_twice_is_there_once(redis: "Redis", message_set: MessageSet) -> None:
    put(redis, item(1, 1000), item(1, 1000))

    assert message_set.take([("item-0001", ()), ("item-0001", ())]) == [True, False]
    assert not redis.exists("faceid:dead", "faceid:dead:items")


def test_due_items_are_returned_oldest_first(redis: "Redis", message_set: MessageSet) -> None:
    put(redis, item(1, 1000.5), item(2, 1000.501), item(3, 999))

    assert ids(message_set.due(1000.5)) == ["item-0003", "item-0001"]
    assert ids(message_set.due(2000, most=1)) == ["item-0003"]
    assert message_set.due(0) == []


@pytest.mark.parametrize("body", [bytes(range(256)), b"", b"\r\n*3\r\n"])
def test_a_body_of_any_bytes_is_kept(body: bytes, redis: "Redis", message_set: MessageSet) -> None:
    put(redis, item(1, 0.1 + 0.2, body))

    assert list(message_set) == [item(1, 0.1 + 0.2, body)]


def test_scripts_are_loaded_again_after_the_server_lost_them(redis: "Redis", message_set: MessageSet) -> None:
    put(redis, *(item(number, 1000 + number) for number in range(4)))

    for forgetful in range(2):
        redis.script_flush()
        assert message_set.take([(f"item-{forgetful:04}", ())]) == [True]
        redis.script_flush()
        assert len(list(message_set)) == 3 - forgetful
        redis.script_flush()
        assert sum(message_set.trim(Bounds(items=3 - forgetful))) == 0


def test_a_claimed_item_is_not_due_for_anybody_else_until_its_new_time(redis: "Redis", message_set: MessageSet) -> None:
    now = seconds(redis)
    put(redis, item(1, now - 5), item(2, now - 4), item(3, now + 3600))
    every = ["item-0001", "item-0002", "item-0003", "item-0004"]

    first, second = message_set.claim(every[:1], 600), message_set.claim(every, 0)

    assert (list(first), list(second)) == (["item-0001"], ["item-0002"])
    at = first["item-0001"]
    assert now + 600 <= at <= seconds(redis) + 600
    assert "item-0001" not in ids(message_set.due(at - 0.001))
    assert "item-0001" in ids(message_set.due(at))
    assert list(message_set.claim(every, 600)) == ["item-0002"], "its new time has come"
    assert message_set.take([(item, ()) for item in every]) == [True, True, True, False]


@pytest.mark.parametrize("at", [1_795_347_747.1234567, 0.1, 5000.0])
def test_an_item_that_was_put_again_with_another_time_is_not_taken(
    redis: "Redis", message_set: MessageSet, at: float
) -> None:
    put(redis, item(1, at), item(2, at))
    seen = {stored.id: stored.at for stored in message_set}

    put(redis, item(2, at + 0.001, b"again"))

    assert message_set.take([("item-0001", ()), ("item-0002", ())], seen) == [True, False]
    assert [stored.message.body for stored in message_set if stored.message] == [b"again"]


class Worker:
    """A broker whose message is worked on and delayed again before the publisher returns."""

    def __init__(self, redis: "Redis") -> None:
        self._redis = redis
        self.published: list[Message] = []

    def publish(self, messages: Sequence[Message]) -> None:
        self.published += messages
        put(self._redis, item(1, time.time() + 60, b"delayed again"))


def test_an_item_that_is_delayed_again_while_it_is_released_is_not_lost(
    redis: "Redis", message_set: MessageSet
) -> None:
    put(redis, item(1, time.time() - 5), item(2, time.time() - 4))
    leaving = [(stored.id, stored.message) for stored in message_set if stored.message]
    worker = Worker(redis)

    release(message_set, leaving, cast("Publisher", worker))
    release(message_set, leaving, cast("Publisher", worker))

    assert [message.body for message in worker.published] == [b"a=b", b"a=b"]
    assert [(stored.id, stored.message.body) for stored in message_set if stored.message] == [
        ("item-0001", b"delayed again")
    ]


@pytest.mark.server
def test_items_can_be_claimed_in_a_full_redis(private_server: RedisServer) -> None:
    with private_server.client() as redis:
        put(redis, item(1, time.time() - 5))
        message_set = MessageSet(redis, "faceid", "dead")
        private_server.config_set("maxmemory", 1)
        assert list(message_set.claim(["item-0001"], 30)) == ["item-0001"]
