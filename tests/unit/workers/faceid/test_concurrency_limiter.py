"""The limit of GetResult calls in flight: halved by refusals, raised by successes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from workers.faceid.concurrency_limiter import HALVING_INTERVAL, ConcurrencyLimiter


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


@asynccontextmanager
async def in_flight(limiter: ConcurrencyLimiter, calls: int) -> AsyncIterator[None]:
    async with AsyncExitStack() as stack:
        for _ in range(calls):
            await stack.enter_async_context(limiter)
        yield


async def test_no_more_calls_than_the_limit_are_in_flight() -> None:
    limiter, most, now = ConcurrencyLimiter(3, Clock()), 0, 0

    async def call() -> None:
        nonlocal most, now
        async with limiter:
            now += 1
            most = max(most, now)
            await asyncio.sleep(0)
            now -= 1

    await asyncio.gather(*(call() for _ in range(20)))
    assert (most, now) == (3, 0)


async def test_many_refusals_together_halve_the_limit_once() -> None:
    clock = Clock()
    limiter = ConcurrencyLimiter(64, clock)
    async with in_flight(limiter, 64):
        for _ in range(50):
            limiter.on_limit_exceeded()
        assert limiter.size == 32
        clock.now += HALVING_INTERVAL
        limiter.on_limit_exceeded()
        assert limiter.size == 16


async def test_halving_starts_from_the_calls_in_flight() -> None:
    limiter = ConcurrencyLimiter(512, Clock())
    async with in_flight(limiter, 10):
        limiter.on_limit_exceeded()
    assert limiter.size == 5


def test_the_limit_stays_above_zero_and_grows_by_one_a_round() -> None:
    clock = Clock()
    limiter = ConcurrencyLimiter(8, clock)
    for _ in range(9):
        clock.now += HALVING_INTERVAL
        limiter.on_limit_exceeded()
    assert limiter.size == 1
    limiter.on_success()
    assert limiter.size == 2
    for _ in range(1000):
        limiter.on_success()
    assert limiter.size == 8


async def test_a_waiting_caller_that_is_cancelled_takes_no_place() -> None:
    limiter = ConcurrencyLimiter(1, Clock())
    release = asyncio.Event()

    async def hold() -> None:
        async with limiter:
            await release.wait()

    first = asyncio.create_task(hold())
    await settle()
    second, third = asyncio.create_task(hold()), asyncio.create_task(hold())
    await settle()
    second.cancel()
    release.set()
    await asyncio.gather(first, third)
    async with asyncio.timeout(1), limiter:
        assert second.cancelled()


async def test_the_place_of_a_cancelled_caller_goes_to_the_next() -> None:
    limiter = ConcurrencyLimiter(1, Clock())
    release = asyncio.Event()

    async def hold() -> None:
        async with limiter:
            await release.wait()

    first = asyncio.create_task(hold())
    await settle()
    second = asyncio.create_task(hold())
    await settle()
    release.set()
    await first
    second.cancel()
    await asyncio.gather(second, return_exceptions=True)
    async with asyncio.timeout(1), limiter:
        assert first.done()
