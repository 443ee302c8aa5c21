"""The bytes in `shared/ledger/memory_costs.py`, compared with a real server that real stages have written to."""

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack
from typing import NamedTuple

import pytest
from redis import Redis

from shared.ledger import memory_costs
from shared.messaging.topology import STAGES
from tests.bench import costs
from tests.support.load import bodies
from tests.support.servers import RedisServer

pytestmark = pytest.mark.server
ROUNDS = 10
COUNT = ROUNDS * costs.BATCH
LARGEST_SURPLUS = 1.5
"""A figure may be so many times the measured bytes. One that is too small lets the server become full."""


class Measured(NamedTuple):
    """Bytes for each callback."""

    waiting: float
    delayed: float
    case: float
    result: float


@pytest.fixture(scope="module")
def measured() -> Iterator[Measured]:
    server = RedisServer()
    server.start()
    try:
        yield asyncio.run(measure(server.url))
    finally:
        server.stop()


async def measure(url: str) -> Measured:
    with Redis.from_url(url) as redis:
        decided = await grow(url, redis, first=1, away=False)
        result = redis.memory_usage("faceid.decisions", samples=0) / (COUNT + costs.BATCH)
        delayed = await grow(url, redis, first=1_000_000, away=True)
        empty = used(redis)
        fill(url, first=2_000_000)
        return Measured((used(redis) - empty) / COUNT, delayed, decided - result, result)


async def grow(url: str, redis: "Redis", *, first: int, away: bool) -> float:
    """Let a worker process `COUNT` callbacks after some others. Returns the bytes for each. `away`: FaceID is."""
    settings = costs._settings(url)
    store = costs._store(settings)
    async with AsyncExitStack() as stack:
        turn = costs._worker(settings, STAGES, redis, stack, costs._no_result if away else costs._get_result)
        for number in range(ROUNDS + 1):
            store(bodies(costs.BATCH, first=first + number * costs.BATCH))
            await turn()
            if number == 0:
                before = used(redis)
        return (used(redis) - before) / COUNT


def fill(url: str, first: int) -> None:
    store = costs._store(costs._settings(url))
    for start in range(first, first + COUNT, costs.BATCH):
        store(bodies(costs.BATCH, first=start))


def used(redis: "Redis") -> int:
    return int(redis.info("memory")["used_memory_dataset"])


@pytest.mark.parametrize("name", Measured._fields)
def test_the_bytes_of_a_callback_are_enough_and_not_far_too_much(name: str, measured: Measured) -> None:
    """What is freed when a callback is decided must not be named too large, what is taken not too small."""
    named, real = getattr(memory_costs, name.upper()), getattr(measured, name)
    print(f"{name}: {real:,.0f} bytes measured, {named:,} named")
    small, large = sorted((named, real))
    assert large <= small * LARGEST_SURPLUS
    if name in {"case", "result"}:
        assert real <= named
    else:
        assert real >= named
