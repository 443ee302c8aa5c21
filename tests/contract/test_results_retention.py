"""What stays in a result stream, and for how long."""

import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any, cast

import pytest
from redis import Redis
from structlog.testing import capture_logs

from shared.brokers.factory import open_publisher
from shared.events.cloudevent import to_message
from shared.messaging.topology import INNER_QUEUES, queue_name
from tests.support.redis_clients import open_redis, server_time, unreachable_redis
from tests.support.result_makers import decision
from workers.maintenance import consumer_dead_letters
from workers.maintenance.consumer_dead_letters import ConsumerDeadLetters
from workers.maintenance.retention import DAY_MS, Retention

STREAM = "faceid.decisions"
DAYS = 2.0


@pytest.fixture
def redis(any_redis_url: str) -> Iterator[Redis]:
    with open_redis(any_redis_url) as client:
        yield client


def put(redis: Redis, *ages: float) -> None:
    """Entries so many days old by Redis's clock, the oldest first."""
    now = server_time(redis)
    for number, age in enumerate(ages):
        redis.xadd(STREAM, {"body": number}, id=f"{int(now * 1000 - age * DAY_MS)}-{number}")


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
        Retention(redis, [STREAM, "faceid.alerts"], DAYS, time.monotonic).run()
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


DEAD = ("faceid.decisions.dead", "faceid.decisions.billing.dead", "faceid.alerts.mail.dead")


def put_dead_letters(redis: Redis, stream: str, *days: float) -> None:
    """Entries so many days old by Redis's clock, the oldest first."""
    seconds, _ = redis.time()
    for number, age in enumerate(days):
        redis.xadd(stream, {"body": number}, id=f"{int(int(seconds) * 1000 - age * DAY_MS)}-{number}")


def trim_dead_letters(redis: Redis, times: int = 1) -> list[Any]:
    """Trim so often; returns the log lines."""
    dead_letters = ConsumerDeadLetters(redis, [STREAM, "faceid.alerts"], DAYS * DAY_MS)
    with capture_logs() as lines:
        for _ in range(times):
            dead_letters.trim()
    return lines


def test_the_old_dead_letters_of_every_consumer_are_deleted(redis: Redis) -> None:
    for stream in DEAD:
        put_dead_letters(redis, stream, 40, 2.1, 1.9, 0)
    lines = trim_dead_letters(redis)
    assert [[int(fields[b"body"]) for _, fields in cast("Any", redis.xrange(stream))] for stream in DEAD] == [
        [2, 3]
    ] * 3
    assert {(line["event"], line["queue"], line["count"]) for line in lines} == {
        ("consumer_dead_letters.expired", stream, 2) for stream in DEAD
    }


def test_streams_of_others_are_left_alone(redis: Redis) -> None:
    others = ("faceid.decisions", "other.decisions.dead", "faceid.callbacks.dead", "faceid.decisions.deadline")
    for stream in others:
        put_dead_letters(redis, stream, 40)
    redis.rpush("faceid.alerts.dead", "no stream")
    assert trim_dead_letters(redis) == []
    assert [redis.xlen(stream) for stream in others] == [1] * len(others)


def test_many_dead_letters_are_deleted_in_several_steps(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consumer_dead_letters, "MOST_ENTRIES", 3)
    monkeypatch.setattr(consumer_dead_letters, "STEPS", 2)
    put_dead_letters(redis, DEAD[0], *(9 - number / 100 for number in range(7)), 1)
    assert [line["count"] for line in trim_dead_letters(redis, times=50)] == [6, 1]
    assert redis.xlen(DEAD[0]) == 1


def test_dead_letters_are_found_among_many_keys(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consumer_dead_letters, "KEYS_AT_ONCE", 10)
    monkeypatch.setattr(consumer_dead_letters, "STEPS", 1)
    redis.mset({f"key-{number}": 1 for number in range(500)})
    put_dead_letters(redis, DEAD[1], 40)
    trim_dead_letters(redis, times=200)
    assert redis.xlen(DEAD[1]) == 0


def test_a_worker_deletes_the_old_dead_letters_of_consumers(redis: Redis) -> None:
    put_dead_letters(redis, DEAD[0], 40, 1)
    Retention(redis, [STREAM], DAYS, time.monotonic).run()
    assert redis.xlen(DEAD[0]) == 1


@pytest.mark.parametrize("ahead", [31, 1, -1, -31])
def test_a_worker_with_a_wrong_clock_trims_only_what_is_acknowledged(redis: Redis, ahead: int) -> None:
    put(redis, 9, 8, 0)
    read(redis, "billing", 1, ack=1)
    put_dead_letters(redis, DEAD[0], 40)
    with capture_logs() as lines:
        Retention(redis, [STREAM], DAYS, time.monotonic, lambda: time.time() + ahead * DAY_MS / 1000).run()
    assert [line["event"] for line in lines] == ["clock.skewed"]
    assert (bodies(redis), redis.xlen(DEAD[0])) == ([1, 2], 1)


def test_a_redis_that_is_away_is_logged_once() -> None:
    now = [0.0]
    with unreachable_redis() as nobody, capture_logs() as lines:
        retention = Retention(nobody, [STREAM], DAYS, lambda: now[0])
        for _ in range(3):
            retention.run()
            now[0] += 60
    assert [line["event"] for line in lines] == ["retention.failed"]


@pytest.mark.parametrize(("url", "trims"), [("redis://h/0", True), ("amqp://h", False), ("stock+redis://h", False)])
def test_only_results_on_streams_are_trimmed(url: str, trims: bool) -> None:
    assert (Retention.opened(url, "faceid", DAYS, time.monotonic) is not None) is trims
