"""Messages that come again: counted where they are tried, and tried so that one killer does not condemn the rest."""

from collections.abc import Iterator
from time import sleep

import pytest
from redis import Redis

from tests.support.waiting import eventually
from workers.runtime.delivery import Delivery
from workers.sources import poison_guard as suspects_module
from workers.sources.poison_guard import TRIAL_SECONDS, Suspects


@pytest.fixture
def redis(any_redis_url: str) -> Iterator["Redis"]:
    with Redis.from_url(any_redis_url) as redis:
        yield redis


@pytest.fixture
def suspects(redis: "Redis") -> Suspects:
    return Suspects(redis, "p")


def message(name: str, delivery: int = 1) -> Delivery:
    return Delivery(f"{name}/1/{delivery}", "callbacks", {}, "", b"")


def names(deliveries: "list[Delivery] | tuple[Delivery, ...]") -> list[tuple[str, int]]:
    return [(delivery.tag.partition("/")[0], delivery.earlier) for delivery in deliveries]


def fill(suspects: Suspects, *deliveries: Delivery) -> None:
    for delivery in deliveries:
        suspects.add(delivery)


def release(suspects: Suspects, most: int = 1) -> list[tuple[str, int]]:
    return names(list(suspects.release(most)))


def test_one_is_let_through_and_the_next_when_it_is_settled(suspects: Suspects) -> None:
    fill(suspects, message("a"), message("b"))
    assert release(suspects) == [("a", 1)]
    assert release(suspects) == []
    suspects.settled(["a/1/1"])
    assert release(suspects) == [("b", 1)]
    assert len(suspects) == 0


def test_one_that_takes_its_time_is_watched_for_a_moment_only(suspects: Suspects) -> None:
    fill(suspects, message("a"), message("b"))
    assert release(suspects) == [("a", 1)]
    sleep(TRIAL_SECONDS)
    assert release(suspects) == [("b", 1)]


def test_after_a_second_death_it_is_alone_until_it_is_settled(redis: "Redis") -> None:
    for worker in (Suspects(redis, "p"), Suspects(redis, "p")):  # the first dies of it
        worker.add(message("a"))
        assert len(worker.release(1)) == 1
    worker.add(message("b"))
    sleep(TRIAL_SECONDS)
    assert release(worker) == []
    worker.settled(["a/1/1"])
    assert release(worker) == [("b", 1)]


def test_the_least_suspicious_go_first(redis: "Redis") -> None:
    first, second = Suspects(redis, "p"), Suspects(redis, "p")
    fill(first, message("a"))
    first.release(1)
    fill(second, message("a"), message("b"), message("c"))
    found = []
    while len(second):
        (delivery,) = second.release(1)
        second.settled([delivery.tag])
        found += names([delivery])
    assert found == [("b", 1), ("c", 1), ("a", 2)]


def test_many_that_were_never_tried_may_go_together_but_not_with_one_that_was(redis: "Redis") -> None:
    first, second = Suspects(redis, "p"), Suspects(redis, "p")
    fill(first, message("a"))
    first.release(1)
    fill(second, *(message(name) for name in "abcd"))
    assert release(second, most=10) == [("b", 1), ("c", 1), ("d", 1)]
    second.settled([f"{name}/1/1" for name in "bcd"])
    assert release(second, most=10) == [("a", 2)]


def test_a_settlement_ends_the_count_and_otherwise_time_does(redis: "Redis", suspects: Suspects) -> None:
    fill(suspects, message("a"))
    suspects.release(1)
    (key,) = redis.keys("p:trial:*")
    assert 0 < redis.ttl(key) <= 86_400
    suspects.settled(["a/1/1"])
    assert redis.keys("p:trial:*") == []
    fill(suspects, message("a", 2))
    assert release(suspects) == [("a", 1)]


def test_a_lost_connection_is_no_death(redis: "Redis") -> None:
    dead, alive = Suspects(redis, "p"), Suspects(redis, "p")
    fill(dead, message("a"))
    dead.release(1)  # and dies
    for delivery in range(1, 10):
        fill(alive, message("a", delivery), message("b", delivery))
        assert release(alive, most=10) == [("b", 1)]
        alive.settled([f"c/1/{delivery}"])
        alive.acquit()
    fill(alive, message("a", 10))
    assert release(alive) == [("a", 2)], "what had died before is remembered"
    assert all(redis.ttl(key) > 0 for key in redis.keys("p:trial:*"))


async def test_an_acquittal_that_redis_did_not_hear_of_is_told_it_later(
    redis: "Redis", suspects: Suspects, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(suspects, message("a"))
    suspects.release(1)
    with monkeypatch.context() as patch:
        patch.setattr(suspects, "_redis", Redis(port=1))
        suspects.acquit()
    fill(suspects, message("a", 2))
    assert release(suspects) == [("a", 1)]


def test_what_was_never_suspect_costs_redis_nothing() -> None:
    suspects = Suspects(Redis(port=1), "p")
    suspects.settled(["a/1/1"])
    assert suspects.release(1) == []


async def test_nothing_is_let_through_uncounted(redis: "Redis", monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suspects_module, "AWAY_SECONDS", 0.05)
    suspects = Suspects(redis, "p")
    away = Redis(port=1)
    monkeypatch.setattr(suspects, "_redis", away)
    fill(suspects, message("a"))
    assert [release(suspects), len(suspects)] == [[], 1]
    monkeypatch.setattr(suspects, "_redis", redis)
    await eventually(lambda: release(suspects) == [("a", 1)])
