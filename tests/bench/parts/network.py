"""The queue part with a network delay: round trips to Redis of 0, 1 and 2 ms through a proxy, GetResult off."""

from functools import partial
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any, Final

from redis import Redis

from tests.bench.measuring import Measured
from tests.bench.network_delay import delayed
from tests.bench.numbers import Measure, Rows, Table, median_of
from tests.bench.parts.queue import QUIET
from tests.bench.pipelines import EACH_STAGE, OurPipeline, measure_on, redis_server
from tests.bench.sizes import Sizes

TITLE: Final = "Stored callbacks to published decisions, Redis farther away"
ROUND_TRIPS: Final = (0, 1, 2)
PIPELINES: Final = {
    "all stages in one process": OurPipeline(settings=QUIET),
    "a process for each stage": OurPipeline(EACH_STAGE, QUIET),
}


def measures(sizes: Sizes) -> dict[str, Measure]:
    """What is measured in each round, in turn."""
    return {
        row(name, far): partial(with_delay, pipeline=pipeline, count=sizes.network, milliseconds=far)
        for name, pipeline in PIPELINES.items()
        for far in ROUND_TRIPS
    }


def row(name: str, far: int) -> str:
    """The name of a row."""
    return f"{name}, {far} ms"


def with_delay(folder: Path, pipeline: OurPipeline, count: int, milliseconds: float) -> Measured:
    """A measurement through the proxy; `round_trip` is the median of 100 PINGs, in milliseconds."""
    with redis_server(folder, "everysec") as server, delayed(folder, server.port, milliseconds) as url:
        with Redis.from_url(url) as far:
            round_trip = median(_ping(far) for _ in range(100)) * 1000
        return {**measure_on(folder, pipeline, server.url, url, count), "round_trip": round_trip}


def _ping(redis: Any) -> float:
    started = perf_counter()
    redis.ping()
    return perf_counter() - started


def table(rows: Rows) -> Table:
    """The rows in the order of measuring."""
    return Table(
        TITLE,
        ("", "PING ms", "a second", "of that without delay", "CPU µs each"),
        [
            (
                name,
                f"{median_of(rows, name, 'round_trip'):.2f}",
                f"{median_of(rows, name, 'rate'):,.0f}",
                f"{median_of(rows, name, 'rate') / median_of(rows, _near(name), 'rate'):.2f}",
                f"{median_of(rows, name, 'cpu_us'):,.0f}",
            )
            for name in rows
        ],
    )


def _near(name: str) -> str:
    return f"{name.rpartition(',')[0]}, {ROUND_TRIPS[0]} ms"
