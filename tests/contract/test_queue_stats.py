"""What Redis and RabbitMQ report about their queues, on real servers."""

from collections.abc import Iterator
from typing import Any

import pytest
from kombu.connection import Connection
from redis import Redis

from console.status.brokers import open_queue_stats
from console.status.kombu import KombuStats
from console.status.redis_streams import RedisStreamsStats
from console.status.snapshot import Depth, Reader, Results
from console.terminal.errors import CommandError
from shared.brokers.factory import open_connection
from tests.support.redis_clients import open_redis
from tests.support.waiting import LIMIT

pytestmark = pytest.mark.server
QUEUE = "faceid.decisions"
QUORUM = {"x-queue-type": "quorum"}


@pytest.fixture
def redis(redis_url: str) -> "Iterator[Redis]":
    with open_redis(redis_url) as client:
        yield client


@pytest.fixture
def rabbit(rabbit_url: str) -> Iterator[Connection]:
    with open_connection(rabbit_url) as connection:
        yield connection


def fill(connection: Connection, count: int) -> Any:
    """A quorum queue with so many messages; returns its channel."""
    channel: Any = connection.channel()
    channel.queue_declare(QUEUE, durable=True, auto_delete=False, arguments=QUORUM)
    channel.confirm_select()
    for _ in range(count):
        channel.basic_publish_confirm(channel.prepare_message(b"x"), routing_key=QUEUE)
    return channel


def test_a_stream_without_a_group_has_no_readers(redis: "Redis") -> None:
    assert RedisStreamsStats(redis).results("decisions", QUEUE) == Results("decisions", 0, ())
    redis.xadd(QUEUE, {"body": "x"})
    assert RedisStreamsStats(redis).results("decisions", QUEUE) == Results("decisions", 1, ())


def test_each_group_of_a_stream_has_its_pending_and_waiting_counts(redis: "Redis") -> None:
    apart, oldest = 1000, 5000  # seconds, against which the time that the test takes is nothing
    at = (int(redis.time()[0]) - oldest) * 1000
    for number in range(5):
        redis.xadd(QUEUE, {"body": "x"}, id=f"{at + number * apart * 1000}-1")
    for group, read, acked in (("audit", 5, 5), ("billing", 3, 1), ("idle", 0, 0)):
        redis.xgroup_create(QUEUE, group, "0")
        found: Any = redis.xreadgroup(group, "one", {QUEUE: ">"}, count=read) if read else []
        for place, _ in (found[0][1] if found else [])[:acked]:
            redis.xack(QUEUE, group, place)

    readers = {reader.name: reader for reader in RedisStreamsStats(redis).results("decisions", QUEUE).readers or ()}

    assert (readers["audit"].in_work, readers["audit"].waiting, readers["audit"].behind_seconds) == (0, 0, 0.0)
    assert (readers["billing"].in_work, readers["billing"].consumers) == (2, 1)
    assert readers["billing"].behind_seconds == pytest.approx(oldest - apart, abs=100)
    assert readers["billing"].seen_seconds == pytest.approx(0, abs=100)
    assert (readers["idle"].consumers, readers["idle"].seen_seconds) == (0, None)
    assert readers["idle"].behind_seconds == pytest.approx(oldest, abs=100)
    if redis.xinfo_groups(QUEUE)[0].get("lag") is not None:  # from Redis 7.0
        assert (readers["billing"].waiting, readers["idle"].waiting) == (2, 5)


def test_rabbitmq_reports_waiting_messages_and_consumers_only(rabbit: Connection) -> None:
    stats = KombuStats(rabbit, counts_consumers=True)
    assert stats.depth(QUEUE) == Depth(0, None, None, 0)

    channel = fill(rabbit, 3)
    assert stats.depth(QUEUE) == Depth(3, None, None, 0)
    assert stats.results("decisions", QUEUE) == Results("decisions", 3, ())

    channel.basic_qos(0, 1, a_global=False)
    channel.basic_consume(QUEUE, callback=lambda _: None)
    rabbit.drain_events(timeout=LIMIT)
    assert stats.results("decisions", QUEUE) == Results("decisions", 2, (Reader("", 1, 2, None, None, None),))


def test_the_readers_of_kombus_own_redis_lists_are_unknown(redis_url: str) -> None:
    url = f"stock+{redis_url}"
    with open_connection(url) as connection, connection.SimpleQueue(QUEUE) as queue:
        queue.put("x")
    with open_queue_stats(url, "FACEID_RESULTS_URL") as stats:
        assert stats.results("decisions", QUEUE) == Results("decisions", 1, None)
        assert stats.results("alerts", "faceid.alerts") == Results("alerts", 0, None)


@pytest.mark.parametrize(
    ("change", "headline"),
    [
        (("guest:guest", "guest:private"), "the user or the password is wrong"),
        (("/v", "/nowhere"), "not found"),
        (("127.0.0.1:", "127.0.0.1:9/?"), "nothing listens there"),
    ],
)
def test_an_error_says_why_the_broker_can_not_be_asked(rabbit_url: str, change: tuple[str, str], headline: str) -> None:
    with pytest.raises(CommandError) as error, open_queue_stats(rabbit_url.replace(*change), "FACEID_BROKER_URL"):
        pass

    assert headline in error.value.headline
    assert "FACEID_BROKER_URL" in " ".join((error.value.headline, *error.value.lines))
    assert "private" not in " ".join((error.value.headline, *error.value.lines))
