"""Watching a queue run empty: how fast it went, and what it cost."""

import re
from collections.abc import Callable, Sequence
from time import monotonic, perf_counter, sleep
from typing import Final

from tests.bench.cores import cpu_seconds

Measured = dict[str, float]
"""One measurement: figures by name. A distribution is its percentiles, `p0` to `p100`."""

LOOK_SECONDS: Final = 0.01
PATIENCE_SECONDS: Final = 30.0
WARM_UP: Final = 0.1
"""The share of the work that is done before the clock starts: programs start, caches fill."""
CASE: Final = re.compile(rb"1462259748(?:,|%2C)[-0-9a-f]{36}")
"""Whose an event or a form is: its biz_id."""


class Stuck(Exception):
    """Nothing moves any more, and not all is done."""


class Uncounted(Exception):
    """Results are missing, or too many."""


def drained(count: int, done: Callable[[], int], pids: Sequence[int]) -> Measured:
    """What it takes until `done` counts `count`, from its tenth part on.

    `rate` in pieces of work a second; `cpu_us`: CPU microseconds for each, of `pids` and their children; `share`: of
    a core that they have used; near 1 they are what limits the rate.
    """
    start, first, cpu = _wait(done, int(count * WARM_UP), pids)
    end, last, cpu_end = _wait(done, count, pids)
    work, seconds, spent = last - first, end - start, cpu_end - cpu
    return {"rate": work / seconds, "cpu_us": spent / work * 1e6, "share": spent / seconds}


def _wait(done: Callable[[], int], goal: int, pids: Sequence[int]) -> tuple[float, int, float]:
    """When the goal was reached, what was done by then, and the CPU seconds used."""
    seen, moved = -1, perf_counter()
    while True:
        count, now = done(), perf_counter()
        if count >= goal:
            return now, count, cpu_seconds(pids)
        if count != seen:
            seen, moved = count, now
        elif now - moved > PATIENCE_SECONDS:
            raise Stuck(f"{count} of {goal} after {PATIENCE_SECONDS:g} s in which nothing moved")
        sleep(LOOK_SECONDS)


def percentiles(values: Sequence[float]) -> Measured:
    """`p0` to `p100`, and `p99.9`."""
    ordered, steps = sorted(values), [*range(101), 99.9]
    return {f"p{step}": ordered[min(int(len(ordered) * step / 100), len(ordered) - 1)] for step in steps}


def repeated(results: Callable[[], Sequence[bytes]], count: int, *, allowed: bool) -> int:
    """How many results repeat a case, none of `count` cases being without one.

    Raises:
        Uncounted: A case has no result after a while; or one has two, and that is not `allowed`.
    """
    patience = monotonic() + (PATIENCE_SECONDS if allowed else 0)
    while True:
        found = results()
        cases = {case[0] for result in found if (case := CASE.search(result))}
        if len(cases) == count and (allowed or len(found) == count):
            return len(found) - count
        if monotonic() > patience:
            raise Uncounted(f"{len(found)} results of {len(cases)} cases instead of {count}")
        sleep(LOOK_SECONDS)
