"""Measure how fast a queue is emptied, and the CPU time that it takes."""

import re
from collections.abc import Callable, Sequence
from time import monotonic, perf_counter, sleep
from typing import Final

from tests.bench.cores import cpu_seconds
from tests.support.biz_ids import ISSUED_AT

Measured = dict[str, float]
"""One measurement: figures by name. A distribution is its percentiles, `p0` to `p100`."""

INTERVAL_SECONDS: Final = 0.01
LIMIT_SECONDS: Final = 30.0
WARM_UP: Final = 0.1
"""The share of the work that is not measured, while programs start and caches fill."""
CASE: Final = re.compile(rb"%d(?:,|%%2C)[-0-9a-f]{36}" % ISSUED_AT)
"""The biz_id in an event or a form."""


class Stuck(Exception):
    """No progress for `LIMIT_SECONDS`, and not all is done."""


class WrongCount(Exception):
    """There are too few or too many results."""


def measure_drain(count: int, done: Callable[[], int], pids: Sequence[int]) -> Measured:
    """Measure until `done` returns `count`. The first tenth is not measured.

    Returns `rate`: callbacks a second; `cpu_us`: CPU microseconds for each, of the processes `pids` and their children;
    `share`: their share of a core. Near 1 the CPU limits the rate.
    """
    start, first, cpu = _wait(done, int(count * WARM_UP), pids)
    end, last, cpu_end = _wait(done, count, pids)
    work, seconds, spent = last - first, end - start, cpu_end - cpu
    return {"rate": work / seconds, "cpu_us": spent / work * 1e6, "share": spent / seconds}


def _wait(done: Callable[[], int], goal: int, pids: Sequence[int]) -> tuple[float, int, float]:
    """Time when the goal was reached, the count at that time, and the CPU seconds used."""
    seen, moved = -1, perf_counter()
    while True:
        count, now = done(), perf_counter()
        if count >= goal:
            return now, count, cpu_seconds(pids)
        if count != seen:
            seen, moved = count, now
        elif now - moved > LIMIT_SECONDS:
            raise Stuck(f"{count} of {goal} after {LIMIT_SECONDS:g} s without progress")
        sleep(INTERVAL_SECONDS)


def percentiles(values: Sequence[float]) -> Measured:
    """`p0` to `p100`, and `p99.9`."""
    ordered, steps = sorted(values), [*range(101), 99.9]
    return {f"p{step}": ordered[min(int(len(ordered) * step / 100), len(ordered) - 1)] for step in steps}


def count_repeats(results: Callable[[], Sequence[bytes]], count: int, *, allowed: bool) -> int:
    """Count the results beyond one for each of `count` cases.

    Raises:
        WrongCount: A case has no result after a while; or one has two, and that is not `allowed`.
    """
    deadline = monotonic() + (LIMIT_SECONDS if allowed else 0)
    while True:
        found = results()
        cases = {case[0] for result in found if (case := CASE.search(result))}
        if len(cases) == count and (allowed or len(found) == count):
            return len(found) - count
        if monotonic() > deadline:
            raise WrongCount(f"{len(found)} results of {len(cases)} cases instead of {count}")
        sleep(INTERVAL_SECONDS)
