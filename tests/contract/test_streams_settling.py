"""A message read is held until it is settled: acknowledged, rejected, handed back or moved on."""

from collections.abc import Iterator
from typing import Any

import pytest
from kombu.connection import Connection
from redis import Redis

from shared.streams import Move, MoveRefused
from shared.streams.move import MAX_CALL_ARGUMENTS, MAX_COMMAND_ARGUMENTS
from tests.support.redis_clients import open_redis
from tests.support.stream_clients import Reader, connect, names, publish, reader


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
    with reader(any_redis_url, "q", lease_seconds=30) as consumer:
        yield consumer


def pending(redis: Redis, queue: str = "q", group: str = "kombu") -> Any:
    """How many entries consumers hold."""
    summary: Any = redis.xpending(queue, group)
    return summary["pending"]


# Reading


def test_the_prefetch_count_holds_over_several_queues(any_redis_url: str, connection: Connection) -> None:
    queues = ["a", "b", "c"]
    for queue in queues:
        publish(connection, queue, *range(20))
    with reader(any_redis_url, *queues, prefetch=7) as consumer:
        seen = 0
        while seen < 60:
            consumer.drain_until(lambda: bool(consumer.messages))
            assert len(consumer.channel.qos.held()) <= 7
            seen += len(consumer.messages)
            while consumer.messages:
                consumer.messages.pop().ack()


def test_nothing_is_read_beyond_the_prefetch_count(any_redis_url: str, connection: Connection, redis: Redis) -> None:
    for queue in "ab":
        publish(connection, queue, *range(20))
    with reader(any_redis_url, "a", "b", prefetch=5) as consumer:
        consumer.receive(5)
        consumer.drain()
        assert len(consumer.messages) == 5
        assert pending(redis, "a") + pending(redis, "b") == 5


def test_without_a_prefetch_count_everything_comes(consumer: Reader, connection: Connection) -> None:
    publish(connection, "q", *range(350))
    assert sorted(message.payload for message in consumer.receive(350)) == list(range(350))


def test_two_channels_of_one_connection_keep_their_messages_apart(any_redis_url: str, connection: Connection) -> None:
    publish(connection, "q", *range(20))
    with connect(any_redis_url) as shared:
        readers = Reader(shared, "q", prefetch=5), Reader(shared, "q", prefetch=5)
        assert readers[0].drain_until(lambda: all(len(each.messages) == 5 for each in readers))
        for each in readers:
            assert each.channel.move([Move(tag) for tag in each.tags]) == [True] * 5


def test_an_exception_of_a_callback_loses_no_message(consumer: Reader, connection: Connection) -> None:
    def fail_once(message: Any) -> None:
        consumer.consumer.on_message = consumer.messages.append
        raise ZeroDivisionError

    consumer.consumer.on_message = fail_once
    publish(connection, "q", 1, 2, 3)
    with pytest.raises(ZeroDivisionError):
        consumer.receive(1)
    consumer.receive(2)
    assert len(consumer.channel.qos.held()) == 3


def test_a_drain_ends_in_time_when_nothing_comes(consumer: Reader) -> None:
    with pytest.raises(TimeoutError):
        consumer.connection.drain_events(timeout=0.05)
    with pytest.raises(TimeoutError):
        consumer.connection.drain_events(timeout=0)


# Acknowledging


def test_an_acknowledged_entry_is_deleted_by_the_next_drain(
    consumer: Reader, connection: Connection, redis: Redis
) -> None:
    publish(connection, "q", 1, 2)
    first, _ = consumer.receive(2)
    first.ack()
    assert redis.xlen("q") == 2
    consumer.drain()
    assert (redis.xlen("q"), pending(redis)) == (1, 1)


def test_a_flush_sends_acknowledgements(consumer: Reader, connection: Connection, redis: Redis) -> None:
    publish(connection, "q", 1)
    consumer.receive(1)[0].ack()
    consumer.channel.flush()
    assert redis.xlen("q") == 0


def test_a_close_sends_acknowledgements(any_redis_url: str, connection: Connection, redis: Redis) -> None:
    publish(connection, "q", 1)
    with reader(any_redis_url, "q") as consumer:
        consumer.receive(1)[0].ack()
    assert redis.xlen("q") == 0


def test_a_hundred_acknowledgements_are_sent_without_a_flush(
    consumer: Reader, connection: Connection, redis: Redis
) -> None:
    publish(connection, "q", *range(130))
    for message in consumer.receive(130):
        message.ack()
    assert redis.xlen("q") == 30


def test_ack_multiple_settles_everything_up_to_it(consumer: Reader, connection: Connection, redis: Redis) -> None:
    publish(connection, "q", *range(5))
    messages = consumer.receive(5)
    messages[0].ack()
    messages[3].ack(multiple=True)
    consumer.channel.flush()
    assert redis.xlen("q") == 1
    assert [delivery.tag for delivery in consumer.channel.qos.held()] == [messages[4].delivery_tag]


def test_a_consumer_without_acknowledgements_leaves_nothing_behind(
    any_redis_url: str, connection: Connection, redis: Redis
) -> None:
    publish(connection, "q", 1, 2)
    with reader(any_redis_url, "q", no_ack=True) as consumer:
        consumer.receive(2)
    assert redis.xlen("q") == 0
    publish(connection, "q", 3)
    channel = connection.channel()
    assert channel.basic_get("q", no_ack=True).payload == 3
    channel.flush()
    assert redis.xlen("q") == 0


# Rejecting and handing back


def test_a_rejected_message_is_deleted(consumer: Reader, connection: Connection, redis: Redis) -> None:
    publish(connection, "q", 1)
    consumer.receive(1)[0].reject()
    consumer.channel.flush()
    assert redis.xlen("q") == 0


def test_a_returned_message_is_delivered_to_another_consumer_with_its_count(
    any_redis_url: str, consumer: Reader, connection: Connection
) -> None:
    publish(connection, "q", 1)
    (message,) = consumer.receive(1)
    message.requeue()
    consumer.channel.flush()
    assert consumer.channel.move([Move(message.delivery_tag)]) == [False]
    with reader(any_redis_url, "q") as other:
        (again,) = other.receive(1)
        assert again.headers["x-delivery-count"] == 1
        assert again.delivery_info["redelivered"]


def test_a_close_returns_unsettled_messages(any_redis_url: str, connection: Connection, redis: Redis) -> None:
    publish(connection, "q", *range(150))
    with reader(any_redis_url, "q", lease_seconds=30) as consumer:
        consumer.receive(150)
        name = consumer.channel._reader.consumer.name
        assert name in names(redis.xinfo_consumers("q", "kombu"))
    assert name not in names(redis.xinfo_consumers("q", "kombu"))
    with reader(any_redis_url, "q") as other:
        assert {message.headers["x-delivery-count"] for message in other.receive(150)} == {1}


def test_recover_returns_unsettled_messages(consumer: Reader, connection: Connection) -> None:
    publish(connection, "q", 1, 2)
    consumer.receive(2)
    consumer.consumer.recover(requeue=True)
    assert consumer.channel.qos.held() == []
    assert [message.headers["x-delivery-count"] for message in consumer.receive(4)[2:]] == [1, 1]


def test_messages_received_after_a_cancel_are_returned(
    any_redis_url: str, consumer: Reader, connection: Connection
) -> None:
    def take_one(message: Any) -> None:
        consumer.messages.append(message)
        consumer.consumer.cancel()

    consumer.consumer.on_message = take_one
    publish(connection, "q", 1, 2, 3)
    consumer.receive(1)
    consumer.channel.flush()
    with reader(any_redis_url, "q") as other:
        assert [message.payload for message in other.receive(2)] == [2, 3]


# Moving


def test_a_move_settles_the_message_and_runs_its_commands(
    consumer: Reader, connection: Connection, redis: Redis
) -> None:
    publish(connection, "q", 1)
    (message,) = consumer.receive(1)
    channel = consumer.channel
    addition = channel.entry_command("out", b"\x00\xff", content_type="a/b", headers={"h": 1})
    move = Move(message.delivery_tag, (addition, ("ZADD", "z", 5, b"\xfe"), ("HSET", "h", "f", "v")))
    assert channel.move([move]) == [True]
    assert redis.xlen("q") == pending(redis) == 0
    entries: Any = redis.xrange("out")
    assert [fields for _, fields in entries] == [
        {b"body": b"\x00\xff", b"content_type": b"a/b", b"headers": b'{"h": 1}'}
    ]
    assert redis.zscore("z", b"\xfe") == 5
    assert redis.hgetall("h") == {b"f": b"v"}
    assert channel.qos.held() == []


def test_a_move_made_again_adds_nothing(consumer: Reader, connection: Connection, redis: Redis) -> None:
    publish(connection, "q", 1)
    (message,) = consumer.receive(1)
    delivery = consumer.channel.qos.find(message.delivery_tag)
    assert delivery is not None
    move = Move(message.delivery_tag, (consumer.channel.entry_command("out", "x"),))
    assert consumer.channel.move([move]) == [True]
    consumer.channel.qos.hold([delivery])  # as after a lost reply
    assert consumer.channel.move([move]) == [False]
    assert redis.xlen("out") == 1


def test_a_connection_error_leaves_the_messages_held(
    consumer: Reader, connection: Connection, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(connection, "q", 1)
    (message,) = consumer.receive(1)
    move = Move(message.delivery_tag, (consumer.channel.entry_command("out", "x"),))
    with monkeypatch.context() as patch:
        patch.setattr(consumer.channel._reader.consumer, "move", raise_connection_error)
        with pytest.raises(ConnectionError):
            consumer.channel.move([move])
    assert consumer.channel.move([move]) == [True]
    assert redis.xlen("out") == 1


def raise_connection_error(*_args: Any) -> None:
    raise ConnectionError


def test_once_runs_the_commands_of_the_first_move_only(consumer: Reader, connection: Connection, redis: Redis) -> None:
    publish(connection, "q", 1, 2)
    once = ("seen", b"id", 7)
    moves = [
        Move(tag, (consumer.channel.entry_command("out", "x"),), once)
        for tag in [message.delivery_tag for message in consumer.receive(2)]
    ]
    assert consumer.channel.move(moves) == [True, True]
    assert (redis.xlen("out"), redis.xlen("q")) == (1, 0)
    assert redis.hgetall("seen") == {b"id": b"7"}


def test_unknown_and_settled_messages_are_not_moved(consumer: Reader, connection: Connection, redis: Redis) -> None:
    publish(connection, "q", 1)
    (message,) = consumer.receive(1)
    message.ack()
    addition = consumer.channel.entry_command("out", "x")
    assert consumer.channel.move([Move("unknown", (addition,)), Move(message.delivery_tag, (addition,))]) == [
        False,
        False,
    ]
    assert redis.xlen("out") == 0


def test_a_refused_command_keeps_its_message_pending_and_settles_the_others(
    consumer: Reader, connection: Connection, redis: Redis
) -> None:
    redis.set("no stream", "")
    publish(connection, "q", 1, 2, 3)
    tags = [message.delivery_tag for message in consumer.receive(3)]
    targets = ("out", "no stream", "out")
    moves = [
        Move(tag, (consumer.channel.entry_command(target, "x"),), ("once", tag, 1))
        for tag, target in zip(tags, targets, strict=True)
    ]
    with pytest.raises(MoveRefused, match="WRONGTYPE") as caught:
        consumer.channel.move(moves)
    assert [type(result) for result in caught.value.results] == [bool, str, bool]
    assert [delivery.tag for delivery in consumer.channel.qos.held()] == [tags[1]]
    assert (redis.xlen("out"), redis.xlen("q"), pending(redis)) == (2, 1, 1)
    assert not redis.hexists("once", tags[1])
    redis.delete("no stream")
    assert consumer.channel.move(moves) == [False, True, False]


def test_a_refused_message_keeps_its_delivery_count(
    any_redis_url: str, consumer: Reader, connection: Connection, redis: Redis
) -> None:
    redis.set("no stream", "")
    publish(connection, "q", 1)
    consumer.receive(1)[0].requeue()
    _, message = consumer.receive(2)
    with pytest.raises(MoveRefused):
        consumer.channel.move([Move(message.delivery_tag, (("XADD", "no stream", "*", "a", "b"),))])
    message.requeue()
    consumer.channel.flush()
    with reader(any_redis_url, "q") as other:
        assert other.receive(1)[0].headers["x-delivery-count"] == 2


def test_a_large_batch_is_moved_in_several_calls(
    consumer: Reader, connection: Connection, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = 600
    sizes: list[int] = []
    move = consumer.channel._reader.consumer.move

    def noting_the_size(call: Any) -> Any:
        sizes.append(len(call.arguments))
        return move(call)

    monkeypatch.setattr(consumer.channel._reader.consumer, "move", noting_the_size)
    publish(connection, "q", *range(count))
    addition = consumer.channel.entry_command("out", "x")
    moves = [Move(message.delivery_tag, (addition,) * 7) for message in consumer.receive(count)]
    assert consumer.channel.move(moves) == [True] * count
    assert len(sizes) > 1
    assert max(sizes) <= MAX_CALL_ARGUMENTS
    assert (redis.xlen("out"), redis.xlen("q")) == (count * 7, 0)


def test_a_long_command_is_run_and_a_longer_one_is_refused_at_once(
    consumer: Reader, connection: Connection, redis: Redis
) -> None:
    publish(connection, "q", 1)
    (message,) = consumer.receive(1)
    members = range(MAX_COMMAND_ARGUMENTS - 2)
    assert consumer.channel.move([Move(message.delivery_tag, (("SADD", "s", *members),))]) == [True]
    assert redis.scard("s") == len(members)
    with pytest.raises(ValueError, match="7000"):
        Move("any", (("SADD", "s", *range(MAX_COMMAND_ARGUMENTS)),))
    with pytest.raises(ValueError, match="1 to"):
        Move("any", ((),))
