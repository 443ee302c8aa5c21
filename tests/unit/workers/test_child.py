"""When a dead worker is started again. The clock is an argument."""

import sys
from itertools import pairwise

import pytest

from tests.support.waiting import until
from workers.child import RESTS, SETTLED_AFTER, Child
from workers.supervisor import LONGEST_TICK, Supervisor

FIRST, MOST = RESTS


@pytest.fixture
def child() -> Child:
    """A worker that ends at once."""
    return Child([sys.executable, "-S", "-c", ""], 1, grace=0.0)


def live(child: Child, start: float, seconds: float) -> float:
    """Start it, and let it be found dead after so many seconds; returns that time."""
    child.start_if_due(start)
    until(lambda: child.reap(start + seconds))
    return start + seconds


def test_a_worker_that_dies_at_once_rests_longer_each_time(child: Child) -> None:
    now, rests = 0.0, []
    for _ in range(9):
        now = live(child, now + child.rest, 0.5)
        rests.append(child.rest)
    assert rests[0] == FIRST
    assert all(later in (2 * earlier, MOST) for earlier, later in pairwise(rests))
    assert rests[-1] == MOST


def test_a_worker_does_not_start_while_it_rests(child: Child) -> None:
    now = live(child, 0.0, 0.5)
    child.start_if_due(now + child.rest / 2)
    assert not child.running
    live(child, now + child.rest, 0.5)


def test_a_worker_that_has_run_for_a_while_rests_shortly(child: Child) -> None:
    now = live(child, live(child, 0.0, 0.5) + child.rest, 0.5)
    assert child.rest > FIRST
    live(child, now + child.rest, SETTLED_AFTER)
    assert child.rest == FIRST


def test_a_supervisor_that_was_stopped_itself_does_not_take_its_workers_for_silent() -> None:
    supervisor = Supervisor([], 1, 0.0)
    now = supervisor._looked_at
    assert supervisor._elapsed(now + 3600.0) == LONGEST_TICK
    assert supervisor._elapsed(now + 3600.1) == pytest.approx(0.1)
