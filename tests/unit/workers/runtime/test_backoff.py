"""Backoff: a random time up to a bound that doubles until it reaches the cap."""

from random import Random

import pytest

from workers.runtime.runner import full_jitter


def longest(attempt: int, base: float = 1.0, cap: float = 60.0) -> float:
    class Highest(Random):
        def random(self) -> float:
            return 1.0

    return full_jitter(attempt, base, cap, Highest())


@pytest.mark.parametrize(("attempt", "seconds"), [(1, 1.0), (2, 2.0), (3, 4.0), (6, 32.0), (7, 60.0), (10**6, 60.0)])
def test_the_bound_doubles_with_each_attempt_up_to_the_cap(attempt: int, seconds: float) -> None:
    assert longest(attempt) == seconds


def test_waits_are_random_over_the_whole_range() -> None:
    random = Random(1)
    waits = [full_jitter(3, 1.0, 60.0, random) for _ in range(200)]
    assert all(0 <= wait <= 4 for wait in waits)
    assert min(waits) < 0.5
    assert max(waits) > 3.5
