"""Callbacks offered at a rate, whatever becomes of them, and when each one's decision was there to be read.

An open loop: arrivals are drawn beforehand (Poisson, always the same ones), each is posted when it is due and counted
from then on, also when the sender itself is late. So a slow answer delays no other post, and none is left out.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from random import Random
from time import perf_counter
from typing import Any, Final

from tests.bench.callbacks import biz_id, body
from tests.bench.watching import CASE, Measured, Uncounted, percentiles

Send = Callable[[bytes], Awaitable[None]]
"""Hands a form body over."""

WARM_CASES: Final = 200
"""Decided before the first arrival, so that no program is still starting."""
WARM_SECONDS: Final = 1.0
"""Arrivals of this first time are not counted."""
PATIENCE_SECONDS: Final = 60.0
SEED: Final = 1


def arrivals(rate: float, seconds: float) -> list[float]:
    """When callbacks arrive, in seconds from the start."""
    random, at, due = Random(SEED), 0.0, []
    while (at := at + random.expovariate(rate)) < seconds:
        due.append(at)
    return due


async def offered(send: Send, redis: Any, results: str, rate: float, seconds: float) -> Measured:
    """Milliseconds from when a callback was due to when its decision was read, and how `late` the sender was (p99).

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
    async with asyncio.timeout(PATIENCE_SECONDS):
        while await redis.xlen(results) < WARM_CASES:  # noqa: ASYNC110 - what is waited for is another process's
            await asyncio.sleep(0.01)
    await redis.xtrim(results, maxlen=0, approximate=False)


async def _send_all(group: asyncio.TaskGroup, send: Send, bodies: Sequence[bytes], due: Sequence[float]) -> list[float]:
    """How many milliseconds too late each was on its way."""
    late = []
    for form, at in zip(bodies, due, strict=True):
        if (rest := at - perf_counter()) > 0:
            await asyncio.sleep(rest)
        group.create_task(_sent(send, form))
        late.append((perf_counter() - at) * 1000)
    return late


async def _sent(send: Send, form: bytes) -> None:
    await send(form)


async def _read(redis: Any, results: str, count: int) -> dict[str, float]:
    """When each case's decision was read."""
    seen: dict[str, float] = {}
    last = b"0"
    async with asyncio.timeout(PATIENCE_SECONDS + count):
        while len(seen) < count:
            for _, entries in await redis.xread({results: last}, block=1000):
                now = perf_counter()
                last = entries[-1][0]
                seen |= {case[0].decode(): now for _, fields in entries if (case := CASE.search(fields[b"body"]))}
    if (there := await redis.xlen(results)) != count:
        raise Uncounted(f"{there} decisions of {count} cases")
    return seen
