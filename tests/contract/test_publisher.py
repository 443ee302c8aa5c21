"""Publishing: when a call returns, the broker has stored every message. Otherwise it raises `NotStored`."""

from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import groupby
from time import monotonic
from typing import cast

import pytest
from redis import Redis

from shared.brokers.factory import open_publisher
from shared.messaging.engine import engine_of
from shared.messaging.message import Message
from shared.messaging.publisher import NotStored, Publisher
from tests.support.redis_clients import open_redis
from tests.support.servers import RedisServer
from tests.support.waiting import until

SECONDS = 0.5
"""The timeout of a call that is meant to time out."""
PATIENCE = 60.0
"""The timeout of a call that is meant to succeed."""


@pytest.fixture
def publisher(any_redis_url: str) -> Iterator[Publisher]:
    with closing(open_publisher(any_redis_url, PATIENCE)) as publisher:
        yield publisher


def messages(*bodies: bytes) -> list[Message]:
    return [Message("p.callbacks", body, "text/form", {"id": f"i{place}"}) for place, body in enumerate(bodies)]


def bodies(redis: "Redis") -> list[bytes]:
    entries = cast("list[tuple[bytes, dict[bytes, bytes]]]", redis.xrange("p.callbacks"))
    return [fields[b"body"] for _, fields in entries]


def test_a_batch_is_stored_in_order_when_the_call_returns(publisher: Publisher, any_redis_url: str) -> None:
    publisher.publish(messages(*(b"%d" % number for number in range(200))))
    publisher.publish(messages(bytes(range(256)), b""))
    with open_redis(any_redis_url) as redis:
        assert bodies(redis) == [*(b"%d" % number for number in range(200)), bytes(range(256)), b""]


def test_publishing_no_messages_writes_nothing(publisher: Publisher, any_redis_url: str) -> None:
    publisher.publish([])
    with open_redis(any_redis_url) as redis:
        assert redis.keys("*") == []


def test_depths_are_of_each_queue_and_create_missing_ones(publisher: Publisher, any_redis_url: str) -> None:
    publisher.publish(messages(b"a", b"b"))
    for _ in range(2):
        assert publisher.depths(["p.verified", "p.callbacks"]) == [0, 2]
    with open_redis(any_redis_url) as redis:
        assert redis.exists("p.verified")


def test_a_key_that_is_no_queue_has_no_depth(publisher: Publisher, any_redis_url: str) -> None:
    with open_redis(any_redis_url) as redis:
        redis.set("p.callbacks", "text")
    with pytest.raises(NotStored, match="WRONGTYPE"):
        publisher.depths(["p.verified", "p.callbacks"])


@pytest.mark.parametrize(
    "call", [lambda publisher: publisher.publish(messages(b"x")), lambda publisher: publisher.depths(["q"])]
)
def test_a_broker_that_refuses_connections_is_reported_at_once(call: Callable[[Publisher], object]) -> None:
    with closing(open_publisher("redis://127.0.0.1:1/0", PATIENCE)) as publisher:
        began = monotonic()
        for _ in range(3):
            with pytest.raises(NotStored):
                call(publisher)
        assert monotonic() - began < PATIENCE / 2


@pytest.mark.server
def test_publishing_to_a_hanging_broker_times_out_and_works_again_after_it_recovers(
    private_server: RedisServer,
) -> None:
    with closing(open_publisher(private_server.url, SECONDS)) as publisher:
        until(lambda: stored(publisher, b"before"))
        private_server.pause()
        assert not stored(publisher, b"hangs")
        private_server.resume()
        until(lambda: stored(publisher, b"after"))
        private_server.kill()
        assert not stored(publisher, b"killed")
        private_server.start()
        until(lambda: stored(publisher, b"again"))
        with private_server.client() as redis:
            found = [body for body, _ in groupby(bodies(redis)) if body != b"hangs"]  # a retry may store a body twice
    assert found == [b"before", b"after", b"again"]


def stored(publisher: Publisher, body: bytes) -> bool:
    try:
        publisher.publish(messages(body))
    except NotStored:
        return False
    return True


@pytest.mark.server
def test_a_full_broker_is_reported_and_used_again_when_it_has_room(private_server: RedisServer) -> None:
    with closing(open_publisher(private_server.url, PATIENCE)) as publisher:
        publisher.publish(messages(b"before"))
        private_server.config_set("maxmemory", 1)
        with pytest.raises(NotStored):
            publisher.publish(messages(b"full"))
        private_server.config_set("maxmemory", 0)
        publisher.publish(messages(b"after"))
        with private_server.client() as redis:
            assert bodies(redis) == [b"before", b"after"]


@pytest.mark.parametrize(
    ("url", "engine"),
    [
        ("redis://h/0", "streams"),
        ("rediss://h", "streams"),
        ("unix:///tmp/s", "streams"),
        ("amqp://h", "rabbit"),
        ("amqps://h", "rabbit"),
        ("sqs://", "stock"),
        ("stock+redis://h", "stock"),
        ("redis+x://h", "stock"),
    ],
)
def test_the_scheme_of_a_url_selects_the_engine(url: str, engine: str) -> None:
    assert engine_of(url) == engine
