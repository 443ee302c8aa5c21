"""Message sets stay within their bounds: age by Redis's clock, number, bytes and Redis's memory."""

import time
from collections.abc import Callable, Iterator

import pytest
from redis import Redis
from redis.exceptions import OutOfMemoryError
from structlog.testing import capture_logs

from shared.ledger import message_set as message_set_module
from shared.ledger.message_set import (
    Bounds,
    MessageSet,
    SetName,
    TakeRefused,
    put_commands,
    run_commands,
    store_command,
)
from shared.messaging.message import Message
from shared.messaging.stored_message import StoredMessage
from shared.redis_servers.clock import RedisClock
from tests.support.places import Place, receive
from tests.support.redis_clients import open_redis, server_time
from tests.support.servers import RedisServer
from workers.maintenance.message_set_trimmer import INTERVAL, MessageSetTrimmer
from workers.runtime.settlement import Settlement

DAY, HOUR = 86_400.0, 3600.0
SIZE = 1000
"""Bytes of a body."""
NO_BOUNDS = Bounds(bytes=10**12)
NAMES: tuple[SetName, ...] = ("dead", "unverified", "outbox", "tombstones")


@pytest.fixture
def redis(any_redis_url: str) -> "Iterator[Redis]":
    with open_redis(any_redis_url) as client:
        yield client


def item(number: int, size: int = SIZE, at: float = 0.0) -> StoredMessage:
    message = Message("faceid.callbacks", b"\xff" * size, "text/plain", {"id": f"item-{number}"})
    return StoredMessage(f"item-{number}", "verify", "malformed", "", at, message=message)


def store(redis: "Redis", name: SetName, *items: StoredMessage) -> None:
    run_commands(redis, [store_command("faceid", name, stored) for stored in items])


def put(redis: "Redis", name: SetName, *items: StoredMessage) -> None:
    """Items with their own times."""
    run_commands(redis, [command for stored in items for command in put_commands("faceid", name, stored)])


def counted(redis: "Redis") -> int:
    """The bytes that are counted."""
    return int(redis.get("faceid:unverified:bytes") or 0)


def real_bytes(redis: "Redis") -> int:
    return sum(len(raw) for raw in redis.hvals("faceid:unverified:items"))


def ids(message_set: MessageSet) -> list[str]:
    return [stored.id for stored in message_set]


def trimmer(
    redis: "Redis",
    bounds: Bounds = NO_BOUNDS,
    days: float = 30,
    now: Callable[[], float] = lambda: 0.0,
    ahead: float = 0,
) -> MessageSetTrimmer:
    """`ahead`: of the wall clock, in seconds."""
    clock = RedisClock(redis, lambda: time.time() + ahead)
    clock.measure()
    return MessageSetTrimmer(redis, "faceid", bounds, days * DAY, 2 * HOUR, now, clock)


def test_an_item_is_stored_with_the_time_of_rediss_clock(redis: "Redis") -> None:
    before = server_time(redis)
    store(redis, "dead", item(1, at=1.0))
    (stored,) = MessageSet(redis, "faceid", "dead")
    assert before <= stored.at <= server_time(redis)
    assert MessageSet(redis, "faceid", "dead").take([(stored.id, ())], {stored.id: stored.at}) == [True]


def test_the_bytes_of_unverified_items_are_counted_in_every_step(redis: "Redis") -> None:
    message_set = MessageSet(redis, "faceid", "unverified")
    store(redis, "unverified", *(item(number) for number in range(10)))
    assert counted(redis) == real_bytes(redis) > 10 * SIZE
    store(redis, "unverified", item(1), item(2, size=3 * SIZE))
    assert counted(redis) == real_bytes(redis)
    message_set.take([("item-1", ()), ("item-2", ()), ("item-1", ())])
    assert counted(redis) == real_bytes(redis)
    message_set.trim(Bounds(items=3))
    assert counted(redis) == real_bytes(redis) > 3 * SIZE
    message_set.trim(Bounds(items=0))
    assert not redis.exists("faceid:unverified:bytes", "faceid:unverified", "faceid:unverified:items")


def test_the_last_item_that_is_taken_leaves_no_key(redis: "Redis") -> None:
    store(redis, "unverified", item(1))
    assert MessageSet(redis, "faceid", "unverified").take([("item-1", ())]) == [True]
    assert redis.keys() == []


def test_the_bytes_stay_when_an_item_can_not_be_taken(redis: "Redis") -> None:
    redis.set("text", "no stream")
    store(redis, "unverified", item(1), item(2))
    with pytest.raises(TakeRefused):
        MessageSet(redis, "faceid", "unverified").take([("item-1", [("XADD", "text", "*", "a", "b")])])
    assert counted(redis) == real_bytes(redis) > 2 * SIZE


@pytest.mark.parametrize("first", ["store", "trim"])
def test_items_that_were_not_counted_are_counted_once(redis: "Redis", first: str) -> None:
    put(redis, "unverified", item(1), item(2))  # as the last version did
    if first == "store":
        store(redis, "unverified", item(3))
    else:
        assert sum(MessageSet(redis, "faceid", "unverified").trim(NO_BOUNDS)) == 0
    assert counted(redis) == real_bytes(redis) >= 2 * SIZE


def test_the_oldest_items_over_the_number_are_dropped(redis: "Redis") -> None:
    message_set = MessageSet(redis, "faceid", "dead")
    put(redis, "dead", *(item(number, at=1000 + number) for number in range(10)))
    assert [message_set.trim(Bounds(items=7)).items for _ in range(2)] == [3, 0]
    assert ids(message_set)[0] == "item-3"
    assert redis.hlen("faceid:dead:items") == 7


def test_the_oldest_items_over_the_bytes_are_dropped(redis: "Redis") -> None:
    message_set = MessageSet(redis, "faceid", "unverified")
    for number in range(10):
        store(redis, "unverified", item(number))
    trimmed = message_set.trim(Bounds(bytes=5 * counted(redis) // 10))
    assert (trimmed.bytes, sum(trimmed)) == (5, 5)
    assert ids(message_set) == [f"item-{number}" for number in range(5, 10)]


def test_one_trim_drops_a_limited_number_of_items(redis: "Redis", monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(message_set_module, "MAX_TRIM", 2)
    put(redis, "dead", *(item(number, at=1000 + number) for number in range(5)))
    assert [sum(MessageSet(redis, "faceid", "dead").trim(Bounds(items=0))) for _ in range(4)] == [2, 2, 1, 0]


@pytest.mark.parametrize("name", NAMES)
def test_items_older_than_the_retention_are_dropped(redis: "Redis", name: SetName) -> None:
    now = server_time(redis)
    put(redis, name, item(1, at=now - 2 * DAY - 60), item(2, at=now - 2 * DAY + 3600), item(3, at=now))
    with capture_logs() as lines:
        trimmer(redis, Bounds(seconds=2 * DAY), days=2).run()
    assert ids(MessageSet(redis, "faceid", name)) == ["item-2", "item-3"]
    events = {"dead": "dead_letters.expired", "outbox": "outbox.expired", "unverified": "unverified.trimmed"}
    assert [(line["event"], line["count"]) for line in lines] == ([(events[name], 1)] if name in events else [])
    assert redis.hgetall("faceid:trimmed") == {name.encode(): b"1"}


def test_more_items_than_one_trim_may_drop_are_dropped_by_the_next_turns(
    redis: "Redis", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(message_set_module, "MAX_TRIM", 2)
    monkeypatch.setattr("workers.maintenance.message_set_trimmer.MAX_TRIM", 2)
    put(redis, "dead", *(item(number, at=1000 + number) for number in range(5)))
    turn = trimmer(redis)
    for _ in range(3):
        turn.run()
    assert ids(MessageSet(redis, "faceid", "dead")) == []


def test_a_search_for_old_items_is_made_once_in_an_interval(redis: "Redis") -> None:
    now = [0.0]
    turn = trimmer(redis, days=1, now=lambda: now[0])
    turn.run()
    put(redis, "dead", item(1, at=1000))
    turn.run()
    assert len(MessageSet(redis, "faceid", "dead")) == 1
    now[0] = INTERVAL
    turn.run()
    assert len(MessageSet(redis, "faceid", "dead")) == 0


def test_a_message_that_a_wrong_clock_has_delayed_is_due_at_once(redis: "Redis") -> None:
    now = server_time(redis)
    put(redis, "delayed", item(1, at=now + 3 * HOUR), item(2, at=now + HOUR), item(3, at=now - 40 * DAY))
    with capture_logs() as lines:
        trimmer(redis).run()
    due = MessageSet(redis, "faceid", "delayed").due(server_time(redis))
    assert sorted(stored.id for stored in due) == ["item-1", "item-3"]
    assert [(line["event"], line["count"]) for line in lines] == [("delays.capped", 1)]


@pytest.mark.parametrize("ahead", [31 * DAY, DAY, 60, -60, -DAY])
def test_while_the_clocks_differ_nothing_is_dropped_for_its_age(redis: "Redis", ahead: float) -> None:
    now = server_time(redis)
    for name in NAMES:
        put(redis, name, item(1, at=now - 2 * DAY), item(2, at=now))
    put(redis, "delayed", item(1, at=now + 3 * HOUR))
    with capture_logs() as lines:
        trimmer(redis, Bounds(seconds=DAY, bytes=10**12), days=1, ahead=ahead).run()
    for name in NAMES:
        assert ids(MessageSet(redis, "faceid", name)) == ["item-1", "item-2"]
    assert [line["event"] for line in lines] == ["clock.skewed", "delays.capped"]


def test_while_the_clocks_differ_unverified_items_over_their_number_are_dropped(redis: "Redis") -> None:
    put(redis, "unverified", item(1, at=1), item(2, at=2))
    trimmer(redis, Bounds(seconds=DAY, items=1, bytes=10**12), ahead=DAY).run()
    assert ids(MessageSet(redis, "faceid", "unverified")) == ["item-2"]


@pytest.mark.server
def test_without_maxmemory_unverified_items_may_take_64_mib(private_server: RedisServer) -> None:
    with private_server.client() as redis:
        big = [item(number, size=1_000_000) for number in range(70)]
        store(redis, "unverified", *big)
        assert MessageSet(redis, "faceid", "unverified").trim(Bounds()).bytes == 3
        assert counted(redis) == real_bytes(redis) <= 64 * 2**20


@pytest.mark.server
def test_with_maxmemory_unverified_items_may_take_a_twentieth_of_it(private_server: RedisServer) -> None:
    with private_server.client() as redis:
        private_server.config_set("maxmemory", 100 * 2**20)
        store(redis, "unverified", *(item(number, size=100_000) for number in range(100)))
        assert MessageSet(redis, "faceid", "unverified").trim(Bounds()).bytes == 48
        assert counted(redis) == real_bytes(redis) <= 5 * 2**20


@pytest.mark.server
def test_under_memory_pressure_unverified_items_are_dropped_until_it_is_over(private_server: RedisServer) -> None:
    with private_server.client() as redis:
        store(redis, "unverified", *(item(number, size=16_000) for number in range(500)))
        used = int(redis.info("memory")["used_memory"])
        private_server.config_set("maxmemory", used)
        message_set = MessageSet(redis, "faceid", "unverified")
        trimmed = message_set.trim(Bounds(bytes=10**12, memory_share=0.7))
        assert trimmed.memory == sum(trimmed) > 0
        assert 0 < len(message_set) < 500
        assert int(redis.info("memory")["used_memory"]) < 0.72 * used


@pytest.mark.server
def test_items_are_dropped_when_redis_refuses_writes(private_server: RedisServer) -> None:
    with private_server.client() as redis:
        store(redis, "unverified", *(item(number) for number in range(50)))
        put(redis, "dead", item(1, at=1000))
        private_server.config_set("maxmemory", 1)
        with pytest.raises(OutOfMemoryError):
            redis.set("a", "b")
        trimmer(redis, Bounds(bytes=10**12, memory_share=0.8)).run()
        assert not redis.exists(
            "faceid:unverified", "faceid:unverified:items", "faceid:unverified:bytes", "faceid:dead"
        )
        assert redis.hgetall("faceid:trimmed") == {b"unverified": b"50", b"dead": b"1"}


@pytest.mark.server
@pytest.mark.parametrize("broker", ["redis", "rabbit"])
def test_a_callback_becomes_unverified_once_and_is_counted(
    broker: str, redis_url: str, request: pytest.FixtureRequest
) -> None:
    url = redis_url if broker == "redis" else request.getfixturevalue("rabbit_url")
    place = Place(redis_url, url, url)
    place.publish(Message("faceid.callbacks", b"a=b", "text/plain", {"id": "item-1"}))
    source = place.source()
    (delivery,) = receive(source)
    settlement = Settlement(delivery.tag, writes=(store_command("faceid", "unverified", item(1)),))
    source.settle([settlement])
    source.settle([settlement])
    assert ids(place.message_set("unverified")) == ["item-1"]
    assert counted(place.ledger) == real_bytes(place.ledger) > SIZE
    place.close()


@pytest.mark.server
def test_a_callback_becomes_unverified_in_a_full_redis(private_server: RedisServer) -> None:
    place = Place(private_server.url, private_server.url, private_server.url)
    place.publish(Message("faceid.callbacks", b"a=b", "text/plain", {"id": "item-1"}))
    source = place.source()
    (delivery,) = receive(source)
    private_server.config_set("maxmemory", 1)
    source.settle([Settlement(delivery.tag, writes=(store_command("faceid", "unverified", item(1)),))])
    assert ids(place.message_set("unverified")) == ["item-1"]
    assert counted(place.ledger) == real_bytes(place.ledger) > SIZE
    place.close()
