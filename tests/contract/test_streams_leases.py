"""A message stays with its consumer as long as the lease is renewed. After that another consumer takes it over."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
from kombu.connection import Connection
from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from shared.messaging.delivery import PROBATION_SECONDS
from shared.streams import Move, Options
from tests.support.redis_clients import open_redis
from tests.support.stream_clients import Reader, connect, expire_leases, names, publish, reader, renewed
from tests.support.waiting import until

SHORT = 0.03
"""Seconds; the lease of a consumer that has to renew soon. Others look for leases that ended `LEASE` seconds ago."""


@pytest.fixture
def redis(any_redis_url: str) -> Iterator[Redis]:
    with open_redis(any_redis_url) as client:
        yield client


@pytest.fixture
def connection(any_redis_url: str) -> Iterator[Connection]:
    with connect(any_redis_url) as connection:
        yield connection


@pytest.fixture
def consumer(any_redis_url: str) -> Iterator[Reader]:
    with reader(any_redis_url, "q") as consumer:
        yield consumer


@pytest.fixture
def other(any_redis_url: str) -> Iterator[Reader]:
    with reader(any_redis_url, "q") as other:
        yield other


def set_pending(redis: Redis, entry_ids: list[Any], deliveries: int, consumer: str = "dead") -> None:
    """Make the entries pending for a dead consumer, with so many deliveries and an expired lease."""
    redis.xclaim("q", "kombu", consumer, 0, entry_ids, idle=60_000, retrycount=deliveries, justid=True)


def fill_group(connection: Connection, redis: Redis, count: int) -> list[Any]:
    """Publish `count` entries and deliver them to a consumer that is dead. Returns their ids."""
    connection.default_channel.queue_declare("q")
    publish(connection, "q", *range(count))
    redis.xreadgroup("kombu", "dead", {"q": ">"}, count=max(1, count))
    return [entry_id for entry_id, _ in rows(redis)]


def rows(redis: Redis) -> Any:
    return redis.xrange("q")


def assert_nothing_to_take_over(url: str, connection: Connection) -> None:
    """A new consumer looks for expired leases before it reads, and gets the newly published message only."""
    with reader(url, "q") as new:
        publish(connection, "q", "new")
        new.receive(1)[0].ack()
        assert new.bodies == ["new"]


def test_a_silent_consumers_messages_are_taken_over_with_their_count(
    consumer: Reader, other: Reader, connection: Connection, redis: Redis
) -> None:
    publish(connection, "q", *range(5))
    first = consumer.receive(5)
    assert all("x-delivery-count" not in message.headers for message in first)
    expire_leases(redis, "q")
    taken = other.receive(5)
    assert [message.payload for message in taken] == [message.payload for message in first]
    assert {message.headers["x-delivery-count"] for message in taken} == {1}
    assert all(message.delivery_info["redelivered"] for message in taken)


def test_a_consumer_that_drains_keeps_its_messages(any_redis_url: str, connection: Connection, redis: Redis) -> None:
    with reader(any_redis_url, "q", prefetch=3, lease_seconds=SHORT) as consumer:
        publish(connection, "q", *range(3))
        consumer.receive(3)
        expire_leases(redis, "q")
        consumer.drain_until(lambda: renewed(redis, "q"))
        assert_nothing_to_take_over(any_redis_url, connection)
        assert consumer.channel.move([Move(tag) for tag in consumer.tags]) == [True] * 3


def test_a_consumer_that_renews_by_itself_keeps_its_messages(
    any_redis_url: str, consumer: Reader, connection: Connection, redis: Redis
) -> None:
    publish(connection, "q", 1)
    consumer.receive(1)
    expire_leases(redis, "q")
    consumer.channel.renew()
    assert_nothing_to_take_over(any_redis_url, connection)


def test_slow_callbacks_keep_the_rest_of_their_batch(any_redis_url: str, connection: Connection, redis: Redis) -> None:
    with reader(any_redis_url, "q", lease_seconds=SHORT) as consumer:

        def work(message: Any) -> None:
            assert renewed(redis, "q"), "not renewed after the callback before this one"
            consumer.messages.append(message)
            expire_leases(redis, "q")
            until(lambda: consumer.channel._reader._renewal.due)

        consumer.consumer.on_message = work
        publish(connection, "q", *range(10))
        consumer.receive(10)
        assert_nothing_to_take_over(any_redis_url, connection)


def test_only_one_of_two_consumers_takes_a_message_over(
    consumer: Reader, other: Reader, connection: Connection, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_pending(redis, fill_group(connection, redis, 1), 1)
    late = consumer.channel._reader.consumer
    overdue = late._pending("q", "IDLE", 1, "-", "+", 10)
    other.receive(1)
    monkeypatch.setattr(late, "_pending", lambda *_criteria: overdue)
    taken, _more = late.take_over("q", 10, set())
    assert taken == []
    assert other.channel.move([Move(other.tags[0])]) == [True]


def test_a_consumer_that_lost_its_lease_settles_nothing(
    consumer: Reader, other: Reader, connection: Connection, redis: Redis
) -> None:
    publish(connection, "q", 1, 2, 3)
    acked, moved, returned = consumer.receive(3)
    expire_leases(redis, "q")
    taken = other.receive(3)
    acked.ack()
    returned.requeue()
    consumer.channel.flush()
    addition = consumer.channel.entry_command("out", "x")
    assert consumer.channel.move([Move(moved.delivery_tag, (addition,))]) == [False]
    assert (redis.xlen("q"), redis.xlen("out")) == (3, 0)
    assert other.channel.move([Move(message.delivery_tag, (addition,)) for message in taken]) == [True] * 3
    assert (redis.xlen("q"), redis.xlen("out")) == (0, 3)


def test_renewing_a_lost_lease_does_not_take_the_message_back(
    consumer: Reader, other: Reader, connection: Connection, redis: Redis
) -> None:
    publish(connection, "q", 1)
    (message,) = consumer.receive(1)
    expire_leases(redis, "q")
    taken = other.receive(1)
    consumer.channel.renew()
    assert consumer.channel.qos.held() == []
    assert consumer.channel.move([Move(message.delivery_tag)]) == [False]
    assert other.channel.move([Move(other.tags[0])]) == [True]
    assert (len(taken), redis.xlen("q")) == (1, 0)


def test_messages_with_a_lost_lease_free_their_prefetch_when_settled(
    any_redis_url: str, other: Reader, connection: Connection, redis: Redis
) -> None:
    with reader(any_redis_url, "q", prefetch=3) as consumer:
        publish(connection, "q", *range(3))
        acked, rejected, moved = consumer.receive(3)
        expire_leases(redis, "q")
        other.receive(3)
        consumer.channel.renew()
        acked.ack()
        rejected.requeue()
        assert consumer.channel.move([Move(moved.delivery_tag)]) == [False]
        assert consumer.channel.qos.can_consume_max_estimate() == 3


def test_a_takeover_stays_within_the_prefetch_count(any_redis_url: str, connection: Connection, redis: Redis) -> None:
    set_pending(redis, fill_group(connection, redis, 20), 1)
    with reader(any_redis_url, "q", prefetch=4) as other:
        other.receive(4)
        other.drain()
        assert len(other.messages) == 4
        while redis.xlen("q"):
            other.channel.move([Move(tag) for tag in other.tags])
            other.messages.clear()
            other.drain_until(lambda: other.messages or not redis.xlen("q"))
            assert len(other.messages) <= 4


def test_redelivered_messages_come_one_at_a_time_fewest_deliveries_first(
    other: Reader, connection: Connection, redis: Redis
) -> None:
    entry_ids = fill_group(connection, redis, 6)
    set_pending(redis, entry_ids[:3], 2)
    set_pending(redis, entry_ids[3:], 1)
    other.receive(3)
    came = [delivery.received_at for delivery in other.channel.qos.held()]
    assert [message.payload for message in other.messages[:3]] == [3, 4, 5]
    assert min(later - earlier for earlier, later in pairwise(sorted(came))) >= PROBATION_SECONDS
    for n in range(3):
        message = other.receive(4 + n)[-1]
        other.drain()
        assert len(other.messages) == 4 + n, "another came while this one was in work"
        assert (message.payload, message.headers["x-delivery-count"]) == (n, 2)
        message.ack()


def test_many_deliveries_drop_no_message(other: Reader, connection: Connection, redis: Redis) -> None:
    set_pending(redis, fill_group(connection, redis, 1), 1000)
    assert other.receive(1)[0].headers["x-delivery-count"] == 1000


def test_messages_returned_often_are_still_delivered_together(
    any_redis_url: str, other: Reader, connection: Connection
) -> None:
    publish(connection, "q", *range(5))
    for _ in range(3):
        with reader(any_redis_url, "q") as consumer:
            consumer.receive(5)
    other.receive(5)
    assert {message.headers["x-delivery-count"] for message in other.messages} == {3}
    assert len(other.channel.qos.held()) == 5


def test_an_entry_deleted_while_in_work_is_no_longer_pending(
    other: Reader, connection: Connection, redis: Redis
) -> None:
    entry_ids = fill_group(connection, redis, 3)
    set_pending(redis, entry_ids, 1)
    redis.xdel("q", entry_ids[1])
    assert [message.payload for message in other.receive(2)] == [0, 2]
    other.channel.move([Move(tag) for tag in other.tags])
    summary: Any = redis.xpending("q", "kombu")
    assert summary["pending"] == 0


@pytest.mark.parametrize("loss", ["group", "everything"])
def test_a_lost_group_is_created_again(consumer: Reader, connection: Connection, redis: Redis, loss: str) -> None:
    publish(connection, "q", 1)
    (message,) = consumer.receive(1)
    if loss == "group":
        redis.xgroup_destroy("q", "kombu")
    else:
        redis.flushall()
        publish(connection, "q", 1)
    assert consumer.receive(2)[1].payload == 1
    addition = consumer.channel.entry_command("out", "x")
    assert sum(consumer.channel.move([Move(tag, (addition,)) for tag in consumer.tags])) == 1
    assert message.delivery_tag == consumer.tags[0]
    assert (redis.xlen("q"), redis.xlen("out")) == (0, 1)


def test_a_queue_deleted_under_a_waiting_consumer_is_created_again(
    any_redis_url: str, connection: Connection, redis: Redis
) -> None:
    with reader(any_redis_url, "q") as consumer:
        consumer.drain()
        redis.delete("q")
        publish(connection, "q", 1)
        consumer.receive(1)


def fail_once(consumer: Reader, monkeypatch: pytest.MonkeyPatch, method: str, after: bool) -> None:
    """Have one drain fail with a connection error, before the command reaches the server or after."""
    member = consumer.channel._reader.consumer
    command = getattr(member, method)

    def fail(*args: Any) -> None:
        if after:
            command(*args)
        raise RedisConnectionError

    with monkeypatch.context() as patch:
        patch.setattr(member, method, fail)
        with pytest.raises(RedisConnectionError):
            consumer.connection.drain_events(timeout=1)


def test_messages_of_a_lost_reply_are_delivered_once_without_a_delivery_count(
    consumer: Reader, connection: Connection, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(connection, "q", "in hand")
    consumer.receive(1)
    publish(connection, "q", *range(5))
    redis.xdel("q", *[row[0] for row in rows(redis)[3:4]])
    fail_once(consumer, monkeypatch, "read", after=True)
    consumer.receive(5)
    consumer.drain()
    assert consumer.bodies == ["in hand", 0, 1, 3, 4]
    assert not any("x-delivery-count" in message.headers for message in consumer.messages)
    assert consumer.channel.move([Move(tag) for tag in consumer.tags]) == [True] * 5


def test_a_close_returns_the_messages_of_a_lost_reply(
    any_redis_url: str, other: Reader, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    with reader(any_redis_url, "q", lease_seconds=30) as consumer:
        publish(connection, "q", 1)
        fail_once(consumer, monkeypatch, "read", after=True)
    assert other.receive(1)[0].payload == 1


@pytest.mark.parametrize("after", [False, True])
def test_a_settlement_that_failed_is_repeated_and_its_messages_are_not_delivered_again(
    consumer: Reader, connection: Connection, redis: Redis, monkeypatch: pytest.MonkeyPatch, after: bool
) -> None:
    publish(connection, "q", 1, 2)
    for message in consumer.receive(2):
        message.ack()
    assert consumer.channel._reader.consumer.recover("q", consumer.channel.qos.held_ids("q")) == []
    fail_once(consumer, monkeypatch, "settle", after)
    expire_leases(redis, "q")
    consumer.drain_until(lambda: redis.xlen("q") == 0)
    consumer.drain()
    assert len(consumer.messages) == 2


def test_dead_consumers_are_removed_when_they_hold_nothing(connection: Connection, redis: Redis) -> None:
    fill_group(connection, redis, 1)
    for name in ("dead and done", "dead and holding"):
        redis.xgroup_createconsumer("q", "kombu", name)
    set_pending(redis, [rows(redis)[0][0]], 1, "dead and holding")
    member = connection.channel()._reader.consumer

    def only_one_left() -> bool:
        member.remove_idle_consumers("q", idle_seconds=0.04)
        return names(redis.xinfo_consumers("q", "kombu")) == {"dead and holding"}

    until(only_one_left)
    member.remove_idle_consumers("no such queue", idle_seconds=0)


def test_a_draining_consumer_removes_dead_ones(any_redis_url: str, connection: Connection, redis: Redis) -> None:
    fill_group(connection, redis, 0)
    redis.xgroup_createconsumer("q", "kombu", "dead")
    with reader(any_redis_url, "q", lease_seconds=0.05) as consumer:
        consumer.drain_until(lambda: "dead" not in names(redis.xinfo_consumers("q", "kombu")))


@pytest.mark.parametrize("option", ["lease_seconds", "batch_size", "socket_timeout", "socket_connect_timeout"])
def test_an_option_out_of_range_is_named(option: str) -> None:
    with pytest.raises(ValueError, match=option):
        Options.from_transport_options({option: 0, "max_retries": 3})
