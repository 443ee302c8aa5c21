"""What a fault has cost in time."""

import pytest

from tests.chaos.history import History, Posted, ResultMessage
from tests.chaos.plan import Strike
from tests.chaos.toll import Blow, tolls

HISTORY = History(
    posted=(
        Posted("1,before", "notify", "final", 200, 9.0),
        Posted("2,during", "notify", "final", 503, 10.5),
        Posted("2,during", "notify", "final", 200, 11.0),
        Posted("2,during", "notify", "final", 200, 16.0),
        Posted("3,held", "notify", "final", 200, 9.9),
        Posted("4,after", "notify", "final", 200, 15.0),
    ),
    seen=(),
    cases=(),
    messages=tuple(
        ResultMessage(f"id of {biz_id}", biz_id, 1, None, "APPROVED", at)
        for biz_id, at in (("1,before", 9.5), ("3,held", 12.5), ("2,during", 14.0), ("4,after", 15.5))
    ),
)


def blow(fault: str, began: float, ended: float) -> Blow:
    return Blow(Strike(0, fault, "redis", 0, 0), began, ended)


def test_work_went_on_with_the_first_decision_after_the_fault() -> None:
    (toll,) = tolls([blow("kill-redis", 10, 12)], HISTORY)
    assert (toll.blows, toll.lasted, toll.went_on) == (1, 2, (0.5,))


def test_a_case_waits_from_its_first_2xx_when_it_was_open_in_the_time_of_the_fault() -> None:
    (toll,) = tolls([blow("kill-redis", 10, 12)], HISTORY)
    assert sorted(toll.waits) == pytest.approx([2.6, 3.0])


def test_blows_of_the_same_fault_are_told_together_in_the_order_of_their_coming() -> None:
    told = tolls([blow("pause-redis", 13, 15), blow("kill-redis", 15, 16), blow("kill-redis", 10, 12)], HISTORY)
    assert [(toll.fault, toll.blows) for toll in told] == [("kill-redis", 2), ("pause-redis", 1)]


def test_after_the_last_decision_there_is_no_time_to_tell() -> None:
    (toll,) = tolls([blow("kill-redis", 16, 17)], HISTORY)
    assert toll.went_on == toll.waits == ()
