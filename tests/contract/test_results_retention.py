"""What stays in a result stream, and for how long."""

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from redis import Redis
from structlog.testing import capture_logs

from shared.brokers.factory import open_publisher
from shared.events.cloudevent import to_message
from shared.messaging.topology import INNER_QUEUES, queue_name
from tests.support.redis_clients import open_redis, unreachable_redis
from tests.support.result_makers import decision
from workers.maintenance.retention import DAY_MS, Retention

STREAM = "faceid.decisions"
DAYS = 2.0
NOW = 1_800_000_000.0


@pytest.fixture
def redis(any_redis_url: str) -> Iterator[Redis]:
    with open_redis(any_redis_url) as client:
        yield client


def put(redis: Redis, *ages: float) -> None:
    """Entries so many days old, the oldest first."""
    for number, age in enumerate(ages):
        redis.xadd(STREAM, {"body": number}, id=f"{int(NOW * 1000 - age * DAY_MS)}-{number}")


def read(redis: Redis, group: str, count: int, ack: int = 0) -> None:
    """Deliver `count` entries to a group, and acknowledge the first `ack` of them."""
    if group.encode() not in {row["name"] for row in redis.xinfo_groups(STREAM)}:
        redis.xgroup_create(STREAM, group, "0")
    if count:
        reply: Any = redis.xreadgroup(group, "c", {STREAM: ">"}, count=count)
        ((_, entries),) = reply
        for entry_id, _ in entries[:ack]:
            redis.xack(STREAM, group, entry_id)


def trim(redis: Redis) -> list[Any]:
    """Trim once; returns the log lines."""
    with capture_logs() as lines:
        Retention(redis, [STREAM, "faceid.alerts"], DAYS, lambda: NOW).trim()
    return lines


def bodies(redis: Redis) -> list[int]:
    entries: Any = redis.xrange(STREAM)
    return [int(fields[b"body"]) for _, fields in entries]


def test_results_that_every_group_has_acknowledged_are_trimmed(redis: Redis) -> None:
    put(redis, 1, 1, 1, 1)
    read(redis, "billing", 4, ack=4)
    read(redis, "mail", 3, ack=2)
    assert trim(redis) == []
    assert bodies(redis) == [2, 3]


def test_results_that_a_group_has_not_read_are_kept(redis: Redis) -> None:
    put(redis, 1, 1)
    read(redis, "billing", 2, ack=2)
    read(redis, "mail", 0)
    trim(redis)
    assert bodies(redis) == [0, 1]


def test_results_in_work_are_kept(redis: Redis) -> None:
    put(redis, 1, 1, 1)
    read(redis, "billing", 3, ack=1)
    trim(redis)
    assert bodies(redis) == [1, 2]


def test_without_a_group_results_are_kept_until_the_retention(redis: Redis) -> None:
    put(redis, 3, 2.5, 1, 0)
    (line,) = trim(redis)
    assert bodies(redis) == [2, 3]
    assert (line["count"], line["unread_by"]) == (2, {})
    assert trim(redis) == []


def test_expired_results_are_counted_for_each_group_that_had_not_read_them(redis: Redis) -> None:
    put(redis, 9, 8, 7, 6, 1)
    read(redis, "ahead", 5, ack=5)
    read(redis, "behind", 3, ack=3)
    read(redis, "far_behind", 1, ack=1)
    (line,) = trim(redis)
    assert bodies(redis) == [4]
    assert (line["count"], line["unread_by"]) == (3, {"far_behind": 3, "behind": 1})


def test_a_group_reads_on_after_results_expired(redis: Redis) -> None:
    put(redis, 9, 1)
    read(redis, "behind", 0)
    trim(redis)
    reply: Any = redis.xreadgroup("behind", "c", {STREAM: ">"})
    ((_, entries),) = reply
    assert len(entries) == 1


def test_publishing_and_counting_create_no_group(any_redis_url: str, redis: Redis) -> None:
    with closing(open_publisher(any_redis_url, 5.0)) as publisher:
        publisher.publish([to_message(decision(1), "faceid")])
        publisher.depths([queue_name("faceid", queue) for queue in INNER_QUEUES])
    assert redis.xinfo_groups(STREAM) == []


def test_a_redis_that_is_away_is_logged_once() -> None:
    now = [NOW]
    with unreachable_redis() as nobody, capture_logs() as lines:
        retention = Retention(nobody, [STREAM], DAYS, lambda: now[0])
        for _ in range(3):
            retention.run()
            now[0] += 60
    assert [line["event"] for line in lines] == ["retention.failed"]


@pytest.mark.parametrize(("url", "trims"), [("redis://h/0", True), ("amqp://h", False), ("stock+redis://h", False)])
def test_only_results_on_streams_are_trimmed(url: str, trims: bool) -> None:
    assert (Retention.opened(url, "faceid", DAYS, lambda: NOW) is not None) is trims
