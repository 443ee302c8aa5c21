"""What the watch asks, and what it does when the ledger's Redis is away."""

import time
from collections.abc import Sequence
from typing import Any, cast

import pytest
from fakeredis import FakeAsyncRedis
from structlog.testing import capture_logs

from ingress.watch import Watch
from shared.ledger.memory_costs import CASE, RESULT, WAITING
from shared.messaging.async_publisher import AsyncPublisher
from shared.messaging.memory import UNLIMITED, Memory
from shared.messaging.publisher import NotStored
from shared.settings import Settings
from tests.support.redis_clients import CLOSED_PORT

REDIS = "redis://127.0.0.1:1/0"


class Broker:
    """A publisher with a number of messages in each queue."""

    def __init__(self, *depths: int, memory: Memory = UNLIMITED) -> None:
        self._depths = list(depths)
        self._memory = memory
        self.asked: list[Sequence[str]] = []

    async def depths(self, queues: Sequence[str]) -> list[int]:
        self.asked.append(queues)
        return self._depths

    async def memory(self) -> Memory:
        return self._memory


class DownBroker:
    async def depths(self, _queues: Sequence[str]) -> list[int]:
        raise NotStored("down")


def opened(broker: object, **settings: Any) -> Watch:
    return Watch.opened(cast("AsyncPublisher", broker), Settings(_env_file=None, redis_url=REDIS, **settings))


async def test_the_backlog_counts_all_inner_queues() -> None:
    broker = Broker(1, 2, 3, 4)
    depths, _ = await opened(broker, prefix="p").measure()
    assert broker.asked == [("p.callbacks", "p.verified", "p.reconciled", "p.decided")]
    assert depths == [1, 2, 3, 4]


async def test_a_broker_that_is_away_is_reported() -> None:
    with pytest.raises(NotStored, match="down"):
        await opened(DownBroker()).measure()


async def test_while_only_the_ledgers_redis_is_away_its_last_memory_counts_and_one_line_is_logged() -> None:
    watch = opened(Broker(10, 0, 0, 0), broker_url="amqp://127.0.0.1:1//")
    watch._last = Memory(1_000, 1_000_000), 0
    with capture_logs() as lines:
        for _ in range(3):
            _, (ledger, broker) = await watch.measure()
    assert (ledger, broker) == (Memory(1_000 + 10 * CASE, 1_000_000), UNLIMITED)
    assert [line["event"] for line in lines] == ["ledger.unavailable"]
    assert CLOSED_PORT == 1


@pytest.mark.parametrize(
    ("settings", "growth"),
    [
        ({}, CASE + RESULT - WAITING),
        ({"results_url": "amqp://127.0.0.1:1//"}, max(0, CASE - WAITING)),
        ({"broker_url": "amqp://127.0.0.1:1//"}, CASE),
        ({"broker_url": "amqp://127.0.0.1:1//", "results_url": REDIS}, CASE + RESULT),
        ({"broker_url": "redis://127.0.0.1:1/1"}, CASE),
    ],
)
async def test_what_waits_grows_on_the_ledgers_redis_by_what_is_kept_there(settings: Any, growth: int) -> None:
    watch = opened(Broker(2, 0, 0, 0), **settings)
    watch._last = Memory(0, 1_000_000), 0
    measured = await watch.measure()
    assert measured.projected[0].used == 2 * growth


async def test_a_redis_that_forbids_info_has_no_limit() -> None:
    watch = opened(Broker(2, 0, 0, 0))
    watch._redis = FakeAsyncRedis()
    assert (await watch.measure()).projected[0].limit == 0


async def test_the_time_of_the_ledgers_redis_is_measured_with_its_memory() -> None:
    watch = opened(Broker(0, 0, 0, 0))
    with capture_logs() as logs:
        watch.clock.note((5_000, 500_000), time.monotonic())
    assert [line["event"] for line in logs] == ["clock.skewed"]
    watch._redis = FakeAsyncRedis()
    await watch.measure()
    assert not watch.clock.is_skewed
