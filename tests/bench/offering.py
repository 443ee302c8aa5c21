"""Callbacks offered at a rate, whatever becomes of them, and when each one's decision was there to be read.

An open loop: arrivals are drawn beforehand (Poisson, always the same ones), each is posted when it is due and counted
from then on, also when the sender itself is late. So a slow answer delays no other post, and none is left out.
"""

import asyncio
from collections.abc import Sequence
from random import Random
from time import perf_counter
from typing import Any, Final

from redis import asyncio as redis_asyncio

from deploy.simulator.browser import http_client
from tests.bench.callbacks import biz_id, body
from tests.bench.entrants import OURS_OUT
from tests.bench.watching import CASE, Measured, Uncounted, percentiles
from tests.e2e.load import post

WARM_CASES: Final = 200
"""Decided before the first arrival, so that no program is still starting."""
WARM_SECONDS: Final = 1.0
"""Arrivals of this first time are not counted."""
PATIENCE_SECONDS: Final = 60.0
SEED: Final = 1


class NotTaken(Exception):
    """A callback was not answered with 200."""


def arrivals(rate: float, seconds: float) -> list[float]:
    """When callbacks arrive, in seconds from the start."""
    random, at, due = Random(SEED), 0.0, []
    while (at := at + random.expovariate(rate)) < seconds:
        due.append(at)
    return due


async def offered(notify_url: str, redis_url: str, rate: float, seconds: float) -> Measured:
    """Milliseconds from when a callback was due to when its decision was read, and how `late` the sender was (p99)."""
    due = arrivals(rate, seconds + WARM_SECONDS)
    bodies = [body(number).encode() for number in range(len(due))]
    async with http_client() as http, redis_asyncio.Redis.from_url(redis_url) as redis, asyncio.TaskGroup() as group:
        await _warm_up(http, redis, notify_url, len(due))
        reading = group.create_task(_read(redis, len(due)))
        start = perf_counter() + 0.1
        late = await _post_all(group, http, notify_url, bodies, [start + at for at in due])
    seen = reading.result()
    counted = [number for number, at in enumerate(due) if at >= WARM_SECONDS]
    beyond = [(seen[biz_id(number)] - start - due[number]) * 1000 for number in counted]
    return {**percentiles(beyond), "late": percentiles([late[number] for number in counted])["p99"]}


async def _warm_up(http: Any, redis: Any, url: str, first: int) -> None:
    for number in range(first, first + WARM_CASES):
        await _post(http, url, body(number).encode())
    async with asyncio.timeout(PATIENCE_SECONDS):
        while await redis.xlen(OURS_OUT) < WARM_CASES:  # noqa: ASYNC110 - what is waited for is another process's
            await asyncio.sleep(0.01)
    await redis.xtrim(OURS_OUT, maxlen=0, approximate=False)


async def _post_all(
    group: asyncio.TaskGroup, http: Any, url: str, bodies: Sequence[bytes], due: Sequence[float]
) -> list[float]:
    """How many milliseconds too late each was on its way."""
    late = []
    for form, at in zip(bodies, due, strict=True):
        if (rest := at - perf_counter()) > 0:
            await asyncio.sleep(rest)
        group.create_task(_post(http, url, form))
        late.append((perf_counter() - at) * 1000)
    return late


async def _post(http: Any, url: str, form: bytes) -> None:
    if (status := await post(http, url, form)) != 200:
        raise NotTaken(f"answered {status}")


async def _read(redis: Any, count: int) -> dict[str, float]:
    """When each case's decision was read."""
    seen: dict[str, float] = {}
    last = b"0"
    async with asyncio.timeout(PATIENCE_SECONDS + count):
        while len(seen) < count:
            for _, entries in await redis.xread({OURS_OUT: last}, block=1000):
                now = perf_counter()
                last = entries[-1][0]
                seen |= {case[0].decode(): now for _, fields in entries if (case := CASE.search(fields[b"body"]))}
    if (there := await redis.xlen(OURS_OUT)) != count:
        raise Uncounted(f"{there} decisions of {count} cases")
    return seen
