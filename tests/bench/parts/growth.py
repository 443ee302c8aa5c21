"""Larger loads: more waiting callbacks, more workers, and the memory that they need.

All workers share one core, and each has 32 items in work: with 100 ms for GetResult one worker can do 320 a second.
"""

from functools import partial
from pathlib import Path
from typing import Any, Final

from redis import Redis

from tests.bench.callbacks import bodies
from tests.bench.cores import memory_bytes
from tests.bench.measuring import Measured, count_repeats, measure_drain
from tests.bench.numbers import Measure, Rows, Table, median_of
from tests.bench.parts.queue import QUIET
from tests.bench.parts.whole import SLOW_SECONDS
from tests.bench.pipelines import ALL_STAGES, OURS_IN, OURS_OUT, OurPipeline, measure_pipeline, redis_server, running
from tests.bench.sizes import Sizes
from tests.bench.vendor import vendor

TITLE: Final = "As it grows"
MEMORY: Final = "memory"
HELD: Final = 32
MOST_CALLBACKS: Final = 15_000
COPIES_AT_ONCE: Final = 10_000
_COPY: Final = """
local entry = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1][2]
for _ = 1, ARGV[1] do redis.call('XADD', KEYS[1], '*', unpack(entry)) end
"""


def measures(sizes: Sizes) -> dict[str, Measure]:
    """What is measured in each round, in turn."""
    made: dict[str, Measure] = {
        f"{waiting:,} waiting": partial(of_many, waiting=waiting, count=min(waiting, sizes.of_waiting))
        for waiting in sizes.waiting
    }
    for workers in sizes.workers:
        count = min(int(workers * HELD / SLOW_SECONDS * sizes.seconds_of_workers), MOST_CALLBACKS)
        made[f"{workers} workers, answers after 100 ms"] = partial(shared, workers=workers, count=count)
    made[MEMORY] = partial(memory, count=sizes.of_waiting)
    return made


def of_many(folder: Path, waiting: int, count: int) -> Measured:
    """Measure the first `count` of `waiting` callbacks, with GetResult off."""
    pipeline = OurPipeline(settings=QUIET)
    with redis_server(folder, "everysec") as server, Redis.from_url(server.url) as redis:
        pipeline.fill(server.url, bodies(count))
        copy_last(redis, waiting - count)
        with running(pipeline.programs(server.url, folder)) as pids:
            return measure_drain(count, lambda: pipeline.done(redis), pids)


def copy_last(redis: Any, times: int) -> None:
    """Copy the last callback in the queue so many times. This is faster than making new ones."""
    for done in range(0, times, COPIES_AT_ONCE):
        redis.eval(_COPY, 1, OURS_IN, min(COPIES_AT_ONCE, times - done))


def shared(folder: Path, workers: int, count: int) -> Measured:
    """Measure several workers with all stages and a slow GetResult."""
    with vendor(folder, SLOW_SECONDS) as getresult:
        settings = {"FACEID_BASE_URL": getresult.base_url, "FACEID_PREFETCH": str(HELD)}
        return measure_pipeline(folder, OurPipeline(ALL_STAGES * workers, settings), count)


def memory(folder: Path, count: int) -> Measured:
    """Measure bytes: in Redis for a waiting callback, for a decided case and for a result; and of a worker."""
    with redis_server(folder, "everysec") as server, vendor(folder) as getresult, Redis.from_url(server.url) as redis:
        pipeline = OurPipeline(settings={"FACEID_BASE_URL": getresult.base_url})
        empty = used(redis)
        pipeline.fill(server.url, bodies(count))
        waiting = used(redis) - empty
        with running(pipeline.programs(server.url, folder)) as pids:
            measure_drain(count, lambda: pipeline.done(redis), pids)
            worker = memory_bytes(pids)
            count_repeats(lambda: pipeline.events(redis), count, allowed=False)
        results = redis.memory_usage(OURS_OUT, samples=0)
        cases = used(redis) - empty - results
    figures = {"waiting_bytes": waiting, "case_bytes": cases, "result_bytes": results}
    return {name: total / count for name, total in figures.items()} | {"worker_bytes": worker}


def used(redis: Any) -> int:
    """Bytes that Redis uses for data."""
    return int(redis.info("memory")["used_memory_dataset"])


def table(rows: Rows) -> Table:
    """Rates first, then bytes."""
    lines = [
        (name, f"{median_of(rows, name, 'rate'):,.0f} a second", f"{median_of(rows, name, 'share'):.2f} of a core")
        for name in rows
        if name != MEMORY
    ]
    titles = {
        "waiting_bytes": "Redis, for a waiting callback",
        "case_bytes": "Redis, for a decided case with GetResult's answer",
        "result_bytes": "Redis, for a decision in the results queue",
        "worker_bytes": "a worker with all stages, after the load",
    }
    lines += [(text, f"{median_of(rows, MEMORY, name):,.0f} bytes", "") for name, text in titles.items()]
    return Table(TITLE, ("", "", ""), lines)
