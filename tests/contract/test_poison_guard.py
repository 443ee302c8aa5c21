"""Redelivered messages are released so that a message that kills its worker is found, and no other is blamed."""

from collections.abc import Iterator

import pytest
from redis import Redis

from shared.messaging.delivery import PROBATION_SECONDS, Delivery
from tests.support.redis_clients import open_redis, unreachable_redis
from workers.sources import poison_guard as poison_guard_module
from workers.sources.poison_guard import LEDGER_PAUSE, PoisonGuard


class Clock:
    """Seconds of a clock that only a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(poison_guard_module, "monotonic", clock)
    return clock


@pytest.fixture
def redis(any_redis_url: str) -> Iterator["Redis"]:
    with open_redis(any_redis_url) as redis:
        yield redis


@pytest.fixture
def poison_guard(redis: "Redis") -> PoisonGuard:
    return PoisonGuard(redis, "p")


def message(name: str, delivery: int = 1) -> Delivery:
    return Delivery(f"{name}/1/{delivery}", "callbacks", {}, "", b"")


def names(deliveries: "list[Delivery] | tuple[Delivery, ...]") -> list[tuple[str, int]]:
    return [(delivery.tag.partition("/")[0], delivery.delivery_count) for delivery in deliveries]


def fill(poison_guard: PoisonGuard, *deliveries: Delivery) -> None:
    for delivery in deliveries:
        poison_guard.add(delivery)


def release(poison_guard: PoisonGuard, most: int = 1) -> list[tuple[str, int]]:
    return names(list(poison_guard.release(most)))


def test_the_next_message_is_released_when_the_first_is_settled(poison_guard: PoisonGuard) -> None:
    fill(poison_guard, message("a"), message("b"))
    assert release(poison_guard) == [("a", 1)]
    assert release(poison_guard) == []
    poison_guard.settled(["a/1/1"])
    assert release(poison_guard) == [("b", 1)]
    assert len(poison_guard) == 0


def test_the_next_message_is_released_after_the_probation_of_a_slow_one(
    poison_guard: PoisonGuard, clock: Clock
) -> None:
    fill(poison_guard, message("a"), message("b"))
    assert release(poison_guard) == [("a", 1)]
    clock.now += 0.9 * PROBATION_SECONDS
    assert release(poison_guard) == []
    clock.now += 0.2 * PROBATION_SECONDS
    assert release(poison_guard) == [("b", 1)]


def test_a_message_that_killed_two_workers_runs_alone_until_it_is_settled(redis: "Redis", clock: Clock) -> None:
    for worker in (PoisonGuard(redis, "p"), PoisonGuard(redis, "p")):  # the first dies of it
        worker.add(message("a"))
        assert len(worker.release(1)) == 1
    worker.add(message("b"))
    clock.now += 10 * PROBATION_SECONDS
    assert release(worker) == []
    worker.settled(["a/1/1"])
    assert release(worker) == [("b", 1)]


def test_messages_with_the_fewest_attempts_are_released_first(redis: "Redis") -> None:
    first, second = PoisonGuard(redis, "p"), PoisonGuard(redis, "p")
    fill(first, message("a"))
    first.release(1)
    fill(second, message("a"), message("b"), message("c"))
    found = []
    while len(second):
        (delivery,) = second.release(1)
        second.settled([delivery.tag])
        found += names([delivery])
    assert found == [("b", 1), ("c", 1), ("a", 2)]


def test_messages_never_tried_are_released_together_and_without_one_that_was(redis: "Redis") -> None:
    first, second = PoisonGuard(redis, "p"), PoisonGuard(redis, "p")
    fill(first, message("a"))
    first.release(1)
    fill(second, *(message(name) for name in "abcd"))
    assert release(second, most=10) == [("b", 1), ("c", 1), ("d", 1)]
    second.settled([f"{name}/1/1" for name in "bcd"])
    assert release(second, most=10) == [("a", 2)]


def test_a_count_ends_with_a_settlement_or_its_ttl(redis: "Redis", poison_guard: PoisonGuard) -> None:
    fill(poison_guard, message("a"))
    poison_guard.release(1)
    (key,) = redis.keys("p:probation:*")
    assert 0 < redis.ttl(key) <= 86_400
    poison_guard.settled(["a/1/1"])
    assert redis.keys("p:probation:*") == []
    fill(poison_guard, message("a", 2))
    assert release(poison_guard) == [("a", 1)]


def test_a_lost_connection_does_not_count_as_an_attempt(redis: "Redis") -> None:
    dead, alive = PoisonGuard(redis, "p"), PoisonGuard(redis, "p")
    fill(dead, message("a"))
    dead.release(1)  # and dies
    for delivery in range(1, 10):
        fill(alive, message("a", delivery), message("b", delivery))
        assert release(alive, most=10) == [("b", 1)]
        alive.settled([f"c/1/{delivery}"])
        alive.clear()
    fill(alive, message("a", 10))
    assert release(alive) == [("a", 2)], "what had died before is remembered"
    assert all(redis.ttl(key) > 0 for key in redis.keys("p:probation:*"))


def test_a_cleared_message_is_uncounted_when_redis_is_back(
    redis: "Redis", poison_guard: PoisonGuard, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(poison_guard, message("a"))
    poison_guard.release(1)
    with monkeypatch.context() as patch:
        patch.setattr(poison_guard, "_redis", unreachable_redis())
        poison_guard.clear()
    fill(poison_guard, message("a", 2))
    assert release(poison_guard) == [("a", 1)]


def test_first_deliveries_cost_no_redis_call() -> None:
    poison_guard = PoisonGuard(unreachable_redis(), "p")
    poison_guard.settled(["a/1/1"])
    assert poison_guard.release(1) == []


def test_nothing_is_released_while_redis_is_away(redis: "Redis", clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    poison_guard = PoisonGuard(redis, "p")
    with monkeypatch.context() as patch:
        patch.setattr(poison_guard, "_redis", unreachable_redis())
        fill(poison_guard, message("a"))
        assert [release(poison_guard), len(poison_guard)] == [[], 1]
    assert release(poison_guard) == [], "Redis is not asked again at once"
    clock.now += LEDGER_PAUSE
    assert release(poison_guard) == [("a", 1)]
