"""Settled entries that are kept: what one group has done with is still there for another."""

from collections.abc import Iterator

import pytest
from kombu.connection import Connection
from redis import Redis

from shared.streams import Move
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


def test_each_group_that_keeps_settled_entries_gets_all_of_them(any_redis_url: str, connection: Connection) -> None:
    publish(connection, "q", 1, 2, 3)
    for group in ("billing", "mail"):
        with reader(any_redis_url, "q", group=group, keep_settled=True) as consumer:
            for message in consumer.receive(3):
                message.ack()


def test_a_kept_entry_is_acknowledged_and_not_delivered_again(
    any_redis_url: str, connection: Connection, redis: Redis
) -> None:
    publish(connection, "q", 1)
    with reader(any_redis_url, "q", group="billing", keep_settled=True) as consumer:
        consumer.receive(1)
        consumer.messages.pop().ack()
        consumer.channel.flush()
        assert redis.xlen("q") == 1
        assert redis.xpending("q", "billing")["pending"] == 0
        consumer.drain()
        assert consumer.messages == []


def test_a_move_keeps_the_entry_too(any_redis_url: str, connection: Connection, redis: Redis) -> None:
    publish(connection, "q", 1)
    with reader(any_redis_url, "q", group="billing", keep_settled=True) as consumer:
        (message,) = consumer.receive(1)
        addition = consumer.channel.entry_command("target", b"x")
        assert consumer.channel.move([Move(message.delivery_tag, (addition,))]) == [True]
        assert (redis.xlen("q"), redis.xlen("target")) == (1, 1)
        assert consumer.channel.move([Move(message.delivery_tag, (addition,))]) == [False]


def test_a_group_that_does_not_keep_settled_entries_deletes_them_for_all(
    any_redis_url: str, connection: Connection, redis: Redis
) -> None:
    publish(connection, "q", 1)
    with reader(any_redis_url, "q", group="faceid") as consumer:
        consumer.receive(1)[0].ack()
        consumer.channel.flush()
    assert redis.xlen("q") == 0
