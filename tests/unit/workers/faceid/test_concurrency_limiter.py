"""The limit of GetResult calls in flight: halved by refusals, raised by successes."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from shared.item_clock import ItemClock, start
from workers.faceid.concurrency_limiter import PROBE_ROUNDS, ConcurrencyLimiter


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
    limiter, most, now = ConcurrencyLimiter(3), 0, 0

    async def call() -> None:
        nonlocal most, now
        async with limiter:
            now += 1
            most = max(most, now)
            await asyncio.sleep(0)
            now -= 1

    await asyncio.gather(*(call() for _ in range(20)))
    assert (most, now) == (3, 0)


async def grow(limiter: ConcurrencyLimiter, size: int) -> None:
    while limiter.size < size:
        limiter.on_success()


async def test_the_limit_begins_small_and_doubles_with_each_round_until_a_refusal() -> None:
    limiter = ConcurrencyLimiter(512)
    sizes = [limiter.size]
    for _ in range(4):
        for _ in range(limiter.size):
            limiter.on_success()
        sizes.append(limiter.size)
    assert sizes == [4, 8, 16, 32, 64]


async def test_refusals_of_calls_that_were_made_together_lower_the_limit_once() -> None:
    limiter = ConcurrencyLimiter(512)
    await grow(limiter, 64)
    async with in_flight(limiter, 63), limiter as generation:
        for _ in range(50):
            limiter.on_limit_exceeded(generation)
        assert limiter.size == 48
    async with in_flight(limiter, 47), limiter as generation:
        limiter.on_limit_exceeded(generation)
        assert limiter.size == 36


async def test_the_new_limit_is_taken_from_the_calls_in_flight() -> None:
    limiter = ConcurrencyLimiter(512)
    await grow(limiter, 512)
    async with in_flight(limiter, 7), limiter as generation:
        limiter.on_limit_exceeded(generation)
    assert limiter.size == 6


async def test_the_limit_stays_above_zero_and_at_its_maximum() -> None:
    limiter = ConcurrencyLimiter(8)
    for _ in range(9):
        async with limiter as generation:
            limiter.on_limit_exceeded(generation)
    assert limiter.size == 1
    for _ in range(5000):
        limiter.on_success()
    assert limiter.size == 8


async def test_after_a_refusal_the_limit_grows_slowly_only_near_what_was_refused() -> None:
    limiter = ConcurrencyLimiter(512)
    await grow(limiter, 32)
    async with in_flight(limiter, 31), limiter as generation:
        limiter.on_limit_exceeded(generation)
    answers = {size: await answers_until(limiter, size) for size in range(25, 60)}
    slow = {size for size, count in answers.items() if count >= 2 * size}
    assert slow == {32, 33}
    assert min(answers[size] for size in slow) >= 30 * PROBE_ROUNDS


async def answers_until(limiter: ConcurrencyLimiter, size: int) -> int:
    """How many accepted calls it takes."""
    answers = 0
    while limiter.size < size:
        limiter.on_success()
        answers += 1
    return answers


async def test_two_workers_need_few_refused_calls_and_use_the_vendors_limit() -> None:
    """A model without a clock: in each turn all calls in flight are answered, those beyond the limit are refused."""
    limit, sessions = 8, 300
    workers = [ConcurrencyLimiter(512) for _ in range(2)]
    turns = refused = 0
    while sessions:
        turns += 1
        async with AsyncExitStack() as calls:
            made = [(worker, await calls.enter_async_context(worker)) for worker in workers for _ in range(worker.size)]
            random.Random(turns).shuffle(made)
            for place, (worker, generation) in enumerate(made):
                if place >= limit:
                    worker.on_limit_exceeded(generation)
                    refused += 1
                else:
                    worker.on_success()
                    sessions -= sessions > 0
    assert refused <= 30, "a tenth of the sessions"
    assert turns <= 1.5 * 300 / limit


async def test_a_waiting_caller_that_is_cancelled_takes_no_place() -> None:
    limiter = ConcurrencyLimiter(1)
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
    limiter = ConcurrencyLimiter(1)
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


async def test_places_are_given_in_the_order_of_asking() -> None:
    limiter, order = ConcurrencyLimiter(2), list[int]()

    async def call(number: int) -> None:
        async with limiter:
            order.append(number)
            await asyncio.sleep(0)

    await asyncio.gather(*(call(number) for number in range(100)))
    assert order == list(range(100))


async def test_the_wait_for_a_place_is_not_time_of_the_item() -> None:
    limiter = ConcurrencyLimiter(1)

    async def wait() -> None:
        clocks.append(start())
        async with limiter:
            pass

    clocks = list[ItemClock]()
    async with limiter:
        task = asyncio.create_task(wait())
        await settle()
        before = clocks[0].seconds
        await asyncio.sleep(0.02)
        assert clocks[0].seconds == before
    await task
