"""Heartbeats of workers on a real Redis: their bounds, and whose clock counts."""

import json
from collections.abc import Iterator
from typing import cast

import pytest
from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from shared.ledger import heartbeats as module
from shared.ledger.heartbeats import Heartbeats
from tests.support.redis_clients import open_redis, unreachable_redis
from tests.support.servers import RedisServer
from tests.support.waiting import until
from workers.maintenance.heartbeat_writer import HeartbeatWriter, Identity

pytestmark = pytest.mark.server
IDENTITY = Identity("worker-1@a", ("verify", "publish"), ["default", "second"], ["d2", "d1", "d1"])


def no_skew() -> float:
    return 0.0


class Work:
    """The pump, as far as a heartbeat is about it."""

    in_work = 0
    progressed_at = 0.0


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def redis(redis_url: str) -> "Iterator[Redis]":
    with open_redis(redis_url) as client:
        yield client


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_a_heartbeat_says_what_the_worker_is_and_does(redis: "Redis", clock: Clock) -> None:
    writer, work = HeartbeatWriter(redis, "faceid", IDENTITY, no_skew, clock), Work()
    clock.now, work.in_work, work.progressed_at = 5.0, 3, 1.0
    writer.run(work)
    (seen,) = Heartbeats(redis, "faceid").read()
    assert (seen.heartbeat.name, seen.heartbeat.in_work, seen.heartbeat.progress_seconds) == ("worker-1@a", 3, 4.0)
    assert (seen.heartbeat.stages, seen.heartbeat.policies) == (["verify", "publish"], ["d1", "d2"])
    assert seen.heartbeat.uptime_seconds == 5.0
    assert seen.heartbeat.skew_seconds == 0.0
    assert seen.at == pytest.approx(redis.time()[0], abs=100)


def test_a_worker_without_work_has_progress(redis: "Redis", clock: Clock) -> None:
    writer = HeartbeatWriter(redis, "faceid", IDENTITY, no_skew, clock)
    clock.now = 1000.0
    writer.run(Work())
    assert Heartbeats(redis, "faceid").read()[0].heartbeat.progress_seconds == 0.0


def test_heartbeats_are_three_seconds_apart(redis: "Redis", clock: Clock) -> None:
    writer, work = HeartbeatWriter(redis, "faceid", IDENTITY, no_skew, clock), Work()
    for seconds, uptime in ((0.0, 0.0), (2.9, 0.0), (3.0, 3.0), (5.9, 3.0), (6.0, 6.0)):
        clock.now = seconds
        writer.run(work)
        assert Heartbeats(redis, "faceid").read()[0].heartbeat.uptime_seconds == uptime


def test_a_heartbeat_expires_and_its_id_is_removed_later(
    redis: "Redis", clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "TTL", 0.05)
    HeartbeatWriter(redis, "faceid", IDENTITY, no_skew, clock).run(Work())
    until(lambda: Heartbeats(redis, "faceid").read() == [])
    (expired,) = cast("list[bytes]", redis.zrange("faceid:workers", 0, -1))
    redis.zadd("faceid:workers", {expired: 1})  # it was alive in 1970
    HeartbeatWriter(redis, "faceid", IDENTITY, no_skew, clock).run(Work())
    assert redis.zcard("faceid:workers") == 1
    assert redis.zscore("faceid:workers", expired) is None


def test_no_more_ids_are_kept_than_the_limit(redis: "Redis", clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_WORKERS", 3)
    for _ in range(5):
        HeartbeatWriter(redis, "faceid", IDENTITY, no_skew, clock).run(Work())
    assert redis.zcard("faceid:workers") == 3
    assert len(Heartbeats(redis, "faceid").read()) == 3
    assert 0 < redis.ttl("faceid:workers") <= 3600


def test_a_worker_that_ends_takes_its_heartbeat_back(redis: "Redis", clock: Clock) -> None:
    writer = HeartbeatWriter(redis, "faceid", IDENTITY, no_skew, clock)
    writer.run(Work())
    writer.end()
    assert redis.keys("faceid:worker*") == []


def test_a_full_redis_still_takes_heartbeats(private_server: RedisServer, clock: Clock) -> None:
    with private_server.client() as redis:
        writer = HeartbeatWriter(redis, "faceid", IDENTITY, no_skew, clock)
        writer.run(Work())
        redis.config_set("maxmemory", "1")
        clock.now = 60.0
        writer.run(Work())
        assert writer.reached
        assert Heartbeats(redis, "faceid").read()[0].heartbeat.uptime_seconds == 60.0


def test_a_heartbeat_of_a_later_version_is_read_and_one_of_an_unknown_form_is_left_out(
    redis: "Redis", clock: Clock
) -> None:
    writer = HeartbeatWriter(redis, "faceid", IDENTITY, no_skew, clock)
    writer.run(Work())
    (key,) = redis.keys("faceid:worker:*")
    text = str(redis.get(key), "utf-8")  # type: ignore[arg-type]  # bytes
    redis.set(key, text.replace("{", '{"new": 1,', 1))
    assert len(Heartbeats(redis, "faceid").read()) == 1
    redis.set(key, b"[]")
    assert Heartbeats(redis, "faceid").read() == []


def test_a_redis_that_is_away_is_noted_and_no_error(clock: Clock) -> None:
    redis = unreachable_redis()
    writer = HeartbeatWriter(redis, "faceid", IDENTITY, no_skew, clock)
    writer.run(Work())
    assert not writer.reached
    writer.end()
    with pytest.raises(RedisConnectionError):
        Heartbeats(redis, "faceid").read()


def test_a_heartbeat_of_a_version_without_the_skew_is_read(redis: "Redis", clock: Clock) -> None:
    HeartbeatWriter(redis, "faceid", IDENTITY, lambda: 40.0, clock).run(Work())
    (key,) = redis.scan_iter("faceid:worker:*")
    record = json.loads(cast("bytes", redis.get(key)))
    assert record.pop("skew_seconds") == 40.0
    redis.set(key, json.dumps(record))
    assert Heartbeats(redis, "faceid").read()[0].heartbeat.skew_seconds == 0.0
