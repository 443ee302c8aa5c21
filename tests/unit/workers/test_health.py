"""When a worker is alive, and when it is ready."""

import pytest

from shared.admin.loop_watch import STUCK_SECONDS
from workers.health import Health


class FakePump:
    """A pump, as far as its health is asked for."""

    def __init__(self) -> None:
        self.turned_at = 0.0
        self.connected = False
        self.alive = True

    def is_alive(self) -> bool:
        return self.alive


class FakeLedger:
    """The ledger, as far as it is asked for."""

    def __init__(self) -> None:
        self.reached = True


class Case:
    """A worker at a time."""

    def __init__(self) -> None:
        self.now = 0.0
        self.pump = FakePump()
        self.ledger = FakeLedger()
        self.health = Health(lambda: self.now)
        self.health.watch(self.pump, self.ledger)

    def turn_loop(self) -> None:
        """The loop turns."""
        self.health.watch(self.pump, self.ledger)


@pytest.fixture
def case() -> Case:
    return Case()


def test_a_pump_that_has_not_turned_for_ten_seconds_is_stuck(case: Case) -> None:
    case.now = STUCK_SECONDS
    assert case.health.fault() == ""
    case.turn_loop()
    case.now += 2.4
    assert case.health.fault() == "the pump has not turned for 12 s"


def test_a_loop_that_has_not_turned_is_stuck_whatever_the_pump_does(case: Case) -> None:
    case.now = case.pump.turned_at = 12.4
    assert case.health.fault() == "the event loop has not turned for 12 s"


def test_a_pump_that_has_ended_is_not_stuck_and_not_ready(case: Case) -> None:
    case.now, case.pump.alive, case.pump.connected = 99.0, False, True
    case.turn_loop()
    assert (case.health.fault(), case.health.missing()) == ("", "stopping")


def test_a_worker_is_ready_while_its_broker_and_its_ledger_answer(case: Case) -> None:
    assert case.health.missing() == "the broker does not answer"
    case.pump.connected = True
    assert case.health.missing() == ""
    case.ledger.reached = False
    assert case.health.missing() == "the ledger's Redis does not answer"


def test_a_worker_that_waits_for_its_servers_is_alive_and_not_ready() -> None:
    case = Case()
    case.health, case.now = Health(lambda: case.now), 3600.0
    assert (case.health.starting, case.health.fault()) == (True, "")
    assert case.health.missing() == "a server that the worker needs has not answered yet"
