"""What goes in comes out: publishing and reading, and how messages stand in the stream."""

import json
from collections.abc import Iterator
from queue import Empty
from typing import Any
from uuid import UUID

import pytest
from kombu.connection import Connection
from kombu.entity import Exchange, Queue
from kombu.exceptions import BatchPublishError, DecodeError
from kombu.messaging import Consumer, Producer
from redis import Redis
from redis.exceptions import ResponseError

from shared.streams import UNDECODABLE, Message
from tests.support.redis_clients import open_redis
from tests.support.stream_clients import connect, publish, reader


@pytest.fixture
def redis(any_redis_url: str) -> Iterator[Redis]:
    with open_redis(any_redis_url) as client:
        yield client


@pytest.fixture
def connection(any_redis_url: str) -> Iterator[Connection]:
    with connect(any_redis_url) as connection:
        yield connection


def entries(redis: Redis, key: str) -> list[dict[bytes, bytes]]:
    return [fields for _id, fields in rows(redis, key)]


def rows(redis: Redis, key: str) -> Any:
    return redis.xrange(key)


def test_a_message_comes_back_as_it_was_published(any_redis_url: str, connection: Connection) -> None:
    publish(connection, "q", {"n": 1}, headers={"h": ["é"]}, correlation_id="c", reply_to="r", priority=3)
    with reader(any_redis_url, "q") as consumer:
        (message,) = consumer.receive(1)
        assert message.payload == {"n": 1}
        assert message.headers == {"h": ["é"]}
        assert message.properties.items() >= {"correlation_id": "c", "reply_to": "r", "priority": 3}.items()
        assert message.delivery_info["routing_key"] == "q"
        assert not message.delivery_info["redelivered"]
        assert message.undecodable is None


def test_any_client_can_read_an_entry(connection: Connection, redis: Redis) -> None:
    publish(connection, "q", {"n": 1}, headers={"h": 1})
    assert entries(redis, "q") == [
        {b"body": b'{"n": 1}', b"content_type": b"application/json", b"headers": b'{"h": 1}'}
    ]


def test_empty_properties_are_not_stored(connection: Connection, redis: Redis) -> None:
    publish(connection, "q", b"\xff", correlation_id="c", expiration=None, delivery_mode=1)
    (fields,) = entries(redis, "q")
    assert fields[b"content_encoding"] == b"binary"
    assert json.loads(fields[b"properties"]) == {"correlation_id": "c", "delivery_mode": 1}


@pytest.mark.parametrize("fields", [{"body": "text"}, {"body": "text", "headers": "{}", "other": "x"}])
def test_an_entry_of_another_client_is_read(any_redis_url: str, redis: Redis, fields: dict[Any, Any]) -> None:
    redis.xadd("q", fields)
    with reader(any_redis_url, "q") as consumer:
        (message,) = consumer.receive(1)
        assert (message.body, message.headers, message.payload) == (b"text", {}, "text")
        assert message.fields[b"body"] == b"text"


@pytest.mark.parametrize("body", [b"", bytes(range(256)), b"\r\n$-1\r\n", "é".encode(), b"x" * 300_000])
def test_a_body_of_any_bytes_survives(any_redis_url: str, connection: Connection, body: bytes) -> None:
    publish(connection, "q", body, content_type="application/octet-stream", content_encoding="binary")
    with reader(any_redis_url, "q") as consumer:
        assert consumer.receive(1)[0].body == body


def test_a_compressed_body_and_a_header_of_kombus_own_types_survive(any_redis_url: str, connection: Connection) -> None:
    publish(connection, "q", "x" * 1000, compression="zlib", headers={"id": UUID(int=1)})
    with reader(any_redis_url, "q") as consumer:
        (message,) = consumer.receive(1)
        assert message.payload == "x" * 1000
        assert message.headers["id"] == UUID(int=1)


def test_a_direct_exchange_routes_by_its_bindings(any_redis_url: str, connection: Connection) -> None:
    exchange = Exchange("things", "direct")
    bound = [Queue("red", exchange, "r"), Queue("blue", exchange, "b")]
    producer = Producer(connection, exchange)
    for body, key in (("1", "r"), ("2", "b"), ("3", "r")):
        producer.publish(body, routing_key=key, declare=bound)
    with reader(any_redis_url, "red") as red, reader(any_redis_url, "blue") as blue:
        red.receive(2)
        blue.receive(1)
        assert (red.bodies, blue.bodies) == (["1", "3"], ["2"])
        assert red.messages[0].delivery_info["exchange"] == "things"


def test_a_simple_queue_works(connection: Connection) -> None:
    with connection.SimpleQueue("q") as queue:
        queue.put({"n": 1})
        message = queue.get(timeout=5)
        assert message.payload == {"n": 1}
        assert queue.qsize() == 1
        message.ack()
        with pytest.raises(Empty):
            queue.get(timeout=0.05)
        assert queue.qsize() == 0
        with pytest.raises(Empty):
            queue.get_nowait()


def test_a_batch_is_sent_at_its_end_or_when_full(connection: Connection, redis: Redis) -> None:
    producer = Producer(connection)
    with producer.batch(max_size=3):
        for n in range(5):
            producer.publish(n, routing_key="q")
        assert redis.xlen("q") == 3
    assert redis.xlen("q") == 5


@pytest.mark.server
def test_a_batch_that_fails_in_part_raises(redis_url: str) -> None:
    with connect(redis_url) as connection, open_redis(redis_url) as redis:
        redis.set("no stream", "")
        with pytest.raises(BatchPublishError) as caught:
            publish_to(connection, "q", "no stream", "q")
        assert isinstance(caught.value.__cause__, ResponseError)
        assert redis.xlen("q") == 2


def test_an_abandoned_batch_sends_nothing(connection: Connection, redis: Redis) -> None:
    with pytest.raises(ZeroDivisionError):
        publish_and_fail(Producer(connection))
    assert redis.xlen("q") == 0


def publish_and_fail(producer: Producer) -> None:
    with producer.batch():
        producer.publish(1, routing_key="q")
        raise ZeroDivisionError


def publish_to(connection: Connection, *queues: str) -> None:
    producer = Producer(connection)
    with producer.batch():
        for queue in queues:
            producer.publish(1, routing_key=queue)


def test_the_prefix_stands_before_the_queue(any_redis_url: str, redis: Redis) -> None:
    with connect(any_redis_url, key_prefix="p:") as connection:
        publish(connection, "q", 1)
        assert redis.xlen("p:q") == 1
        with reader(any_redis_url, "q", key_prefix="p:") as consumer:
            assert consumer.receive(1)[0].delivery_info["routing_key"] == "q"


def test_a_queue_is_measured_purged_and_deleted(connection: Connection, redis: Redis) -> None:
    channel = connection.channel()
    queue = Queue("q")(channel)
    queue.declare()
    assert redis.xinfo_groups("q")[0]["name"] == b"kombu"
    publish(connection, "q", 1, 2, 3)
    in_work = queue.get()
    assert queue.queue_declare(passive=True).message_count == 3
    assert queue.purge() == 2
    assert queue.queue_declare(passive=True).message_count == 1
    in_work.ack()
    channel.flush()
    assert queue.queue_declare(passive=True).message_count == 0
    queue.delete()
    assert not redis.exists("q")
    with pytest.raises(connection.channel_errors, match="NOT_FOUND"):
        queue.queue_declare(passive=True)


BAD_ENTRIES: list[tuple[str, dict[Any, Any]]] = [
    ("body: missing", {"text": "x"}),
    ("headers: not JSON", {"body": "x", "headers": "{"}),
    ("headers: not JSON", {"body": "x", "headers": b"\xff"}),
    ("headers: not JSON", {"body": "x", "headers": "[" * 100_000}),
    ("headers: not a JSON object", {"body": "x", "headers": "[1]"}),
    ("properties: not a JSON object", {"body": "x", "properties": "1"}),
    ("properties: delivery_info is not an object", {"body": "x", "properties": '{"delivery_info": 1}'}),
    ("content_type: not UTF-8", {"body": "x", "content_type": b"\xff"}),
    ("body: does not decompress", {"body": "x", "headers": '{"compression": "zlib"}'}),
]


@pytest.mark.parametrize(("reason", "fields"), BAD_ENTRIES)
def test_an_undecodable_entry_is_handed_on_and_the_good_one_behind_it_too(
    any_redis_url: str, connection: Connection, redis: Redis, reason: str, fields: dict[Any, Any]
) -> None:
    entry_id = redis.xadd("q", fields)
    publish(connection, "q", "good")
    with reader(any_redis_url, "q") as consumer:
        bad, good = consumer.receive(2)
        assert good.payload == "good"
        assert bad.headers[UNDECODABLE] == reason
        assert bad.body == (b"x" if "body" in fields else b"")
        assert [bad.fields] == [fields for found, fields in rows(redis, "q") if found == entry_id]
        with pytest.raises(DecodeError, match=reason):
            _ = bad.payload


def test_an_undecodable_entry_goes_to_on_decode_error(connection: Connection, redis: Redis) -> None:
    redis.xadd("q", {"headers": "{}"})
    publish(connection, "q", "good")
    good: list[Any] = []
    bad: list[tuple[Message, Exception]] = []
    consumer = Consumer(
        connection.channel(),
        [Queue("q")],
        callbacks=[lambda body, _message: good.append(body)],
        on_decode_error=lambda message, error: bad.append((message, error)),
    )
    with consumer:
        while not good:
            connection.drain_events(timeout=5)
    assert [(message.headers, type(error)) for message, error in bad] == [({UNDECODABLE: "body: missing"}, DecodeError)]


def test_a_publisher_cannot_forge_the_transports_headers(any_redis_url: str, connection: Connection) -> None:
    publish(connection, "q", 1, headers={"x-delivery-count": 9, UNDECODABLE: "no"})
    with reader(any_redis_url, "q") as consumer:
        assert consumer.receive(1)[0].headers == {}
