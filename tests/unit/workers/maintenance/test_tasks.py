"""A maintenance task that fails stops neither the worker nor the other tasks."""

from itertools import pairwise

import pytest
from structlog.testing import capture_logs

from shared.messaging.errors import BrokerUnavailable
from workers.maintenance.tasks import Maintenance


class Task:
    """Raises `error` while it is set; counts its runs."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.runs = 0

    def __call__(self) -> None:
        self.runs += 1
        if self.error:
            raise self.error


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_task_that_raises_is_logged_and_the_others_run() -> None:
    first, bad, last = Task(), Task(ValueError("Jane Doe")), Task()
    with capture_logs() as lines:
        Maintenance({"first": first, "bad": bad, "last": last}, Clock()).run()
    assert (first.runs, last.runs) == (1, 1)
    (line,) = lines
    assert (line["event"], line["task"], line["failures"]) == ("maintenance.failed", "bad", 1)


def test_a_task_that_fails_again_waits_longer_each_time_up_to_a_minute() -> None:
    clock, bad = Clock(), Task(ValueError())
    maintenance = Maintenance({"bad": bad}, clock)
    runs = []
    for _ in range(1200):
        before = bad.runs
        maintenance.run()
        if bad.runs > before:
            runs.append(clock.now)
        clock.now += 0.25
    pauses = [later - earlier for earlier, later in pairwise(runs)]
    assert pauses == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0, 60.0]


def test_a_task_that_works_again_starts_anew() -> None:
    clock, task = Clock(), Task(ValueError())
    maintenance = Maintenance({"task": task}, clock)
    maintenance.run()
    task.error, clock.now = None, 1.0
    maintenance.run()
    maintenance.run()
    assert task.runs == 3


def test_an_unavailable_broker_is_raised_and_the_next_run_starts_with_the_next_task() -> None:
    away, other = Task(BrokerUnavailable("ConnectionError")), Task()
    maintenance = Maintenance({"away": away, "other": other}, Clock())
    with pytest.raises(BrokerUnavailable):
        maintenance.run()
    assert other.runs == 0
    with pytest.raises(BrokerUnavailable):
        maintenance.run()
    assert other.runs == 1
