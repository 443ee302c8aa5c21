"""Measure latency at a given rate: an open loop.

Arrival times are drawn beforehand (Poisson, the same ones in every run). Each callback is posted when it is due, and
its latency is measured from that time, also when the sender is late. A slow answer delays no other callback.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from random import Random
from time import perf_counter
from typing import Any, Final

from tests.bench.callbacks import body
from tests.bench.measuring import CASE, Measured, WrongCount, percentiles
from tests.support.biz_ids import biz_id

Send = Callable[[bytes], Awaitable[None]]
"""Posts a form body."""

WARM_CASES: Final = 200
"""Callbacks that are decided before the first arrival, while programs start."""
WARM_SECONDS: Final = 1.0
"""Arrivals in the first seconds are not counted."""
LIMIT_SECONDS: Final = 60.0
SEED: Final = 1


def arrivals(rate: float, seconds: float) -> list[float]:
    """Arrival times, in seconds from the start."""
    random, at, due = Random(SEED), 0.0, []
    while (at := at + random.expovariate(rate)) < seconds:
        due.append(at)
    return due


async def run_open_loop(send: Send, redis: Any, results: str, rate: float, seconds: float) -> Measured:
    """Percentiles of the milliseconds from arrival time to decision; `late`: how late the sender was (p99).

    Decisions are read from the stream `results` of this `redis`.
    """
    due = arrivals(rate, seconds + WARM_SECONDS)
    bodies = [body(number).encode() for number in range(len(due))]
    async with asyncio.TaskGroup() as group:
        await _warm_up(send, redis, results, len(due))
        reading = group.create_task(_read(redis, results, len(due)))
        start = perf_counter() + 0.1
        late = await _send_all(group, send, bodies, [start + at for at in due])
    seen = reading.result()
    counted = [number for number, at in enumerate(due) if at >= WARM_SECONDS]
    beyond = [(seen[biz_id(number)] - start - due[number]) * 1000 for number in counted]
    return {**percentiles(beyond), "late": percentiles([late[number] for number in counted])["p99"]}


async def _warm_up(send: Send, redis: Any, results: str, first: int) -> None:
    for number in range(first, first + WARM_CASES):
        await send(body(number).encode())
    async with asyncio.timeout(LIMIT_SECONDS):
        while await redis.xlen(results) < WARM_CASES:  # noqa: ASYNC110 - another process makes them
            await asyncio.sleep(0.01)
    await redis.xtrim(results, maxlen=0, approximate=False)


async def _send_all(group: asyncio.TaskGroup, send: Send, bodies: Sequence[bytes], due: Sequence[float]) -> list[float]:
    """Post each callback when it is due. Returns how many milliseconds late each was posted."""
    late = []
    for form, at in zip(bodies, due, strict=True):
        if (wait := at - perf_counter()) > 0:
            await asyncio.sleep(wait)
        group.create_task(_sent(send, form))
        late.append((perf_counter() - at) * 1000)
    return late


async def _sent(send: Send, form: bytes) -> None:
    await send(form)


async def _read(redis: Any, results: str, count: int) -> dict[str, float]:
    """When each case's decision was read."""
    seen: dict[str, float] = {}
    last = b"0"
    async with asyncio.timeout(LIMIT_SECONDS + count):
        while len(seen) < count:
            for _, entries in await redis.xread({results: last}, block=1000):
                now = perf_counter()
                last = entries[-1][0]
                seen |= {case[0].decode(): now for _, fields in entries if (case := CASE.search(fields[b"body"]))}
    if (there := await redis.xlen(results)) != count:
        raise WrongCount(f"{there} decisions of {count} cases")
    return seen
