"""The time by Redis's clock."""

from typing import Any, cast

import pytest
from redis import Redis
from structlog.testing import capture_logs

from shared.redis_servers.clock import INTERVAL, RedisClock
from shared.redis_servers.clock_skew import MOST_SKEW


class Server:
    """A Redis that tells its time."""

    def __init__(self, now: float) -> None:
        self.now = now
        self.asked = 0

    def time(self) -> tuple[int, int]:
        self.asked += 1
        return int(self.now), int(self.now % 1 * 1e6)


class Machine:
    """A wall clock and a steady clock."""

    def __init__(self, wall: float) -> None:
        self.wall = wall
        self.steady = 77.0


def clock(server: Server, machine: Machine) -> RedisClock:
    return RedisClock(cast("Redis", cast("Any", server)), lambda: machine.wall, lambda: machine.steady)


def test_before_the_first_measurement_it_is_the_wall_clock() -> None:
    assert clock(Server(5000.0), Machine(1000.0))() == 1000.0


def test_it_tells_rediss_time_whatever_the_wall_clock_says() -> None:
    server, machine = Server(5000.5), Machine(1000.0)
    now = clock(server, machine)
    now.measure()
    assert now() == 5000.5
    machine.wall, machine.steady = 9e9, 80.0
    assert now() == 5003.5


def test_it_asks_once_in_an_interval() -> None:
    server, machine = Server(5000.0), Machine(5000.0)
    now = clock(server, machine)
    for _ in range(3):
        now.run()
    assert server.asked == 1
    machine.steady += INTERVAL
    now.run()
    assert server.asked == 2


@pytest.mark.parametrize(("ahead", "skewed"), [(MOST_SKEW + 1, True), (MOST_SKEW - 1, False)])
@pytest.mark.parametrize("sign", [1, -1])
def test_clocks_that_differ_by_more_than_the_most_are_skewed(ahead: float, skewed: bool, sign: int) -> None:
    now = clock(Server(5000.0), Machine(5000.0 + sign * ahead))
    now.measure()
    assert (now.is_skewed, now.skew) == (skewed, -sign * ahead)


def test_a_wrong_clock_is_logged_once_and_again_when_it_is_right() -> None:
    server, machine = Server(5000.0), Machine(5000.0 + 86_400)
    now = clock(server, machine)
    with capture_logs() as lines:
        now.measure()
        now.measure()
        machine.wall = 5000.0
        now.measure()
    assert [(line["event"], line["skew_seconds"]) for line in lines] == [
        ("clock.skewed", -86_400.0),
        ("clock.agrees", 0.0),
    ]
