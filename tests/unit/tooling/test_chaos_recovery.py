"""How long it took until work went on after each fault."""

from dataclasses import replace

import pytest

from tests.chaos.history import History, InjectedFault, Posted, ResultMessage
from tests.chaos.recovery import Recovery, recoveries

HISTORY = History(
    posted=(
        Posted("1,before", "notify", "final", 200, 9.0),
        Posted("2,during", "notify", "final", 503, 10.5),
        Posted("2,during", "notify", "final", 200, 11.0),
        Posted("2,during", "notify", "final", 200, 16.0),
        Posted("3,delayed", "notify", "final", 200, 9.9),
        Posted("4,after", "notify", "final", 200, 15.0),
    ),
    vendor_sessions=(),
    cases=(),
    messages=tuple(
        ResultMessage(f"id of {biz_id}", biz_id, 1, None, "APPROVED", at)
        for biz_id, at in (("1,before", 9.5), ("3,delayed", 12.5), ("2,during", 14.0), ("4,after", 15.5))
    ),
)


def recovered(*injected: tuple[str, float, float]) -> list[Recovery]:
    faults = tuple(InjectedFault(fault, "redis", began, ended) for fault, began, ended in injected)
    return recoveries(replace(HISTORY, injected=faults))


def test_work_goes_on_with_the_first_decision_after_the_fault() -> None:
    (recovery,) = recovered(("kill-redis", 10, 12))
    assert (recovery.times, recovery.lasted, recovery.went_on) == (1, 2, (0.5,))


def test_a_case_that_was_open_during_the_fault_waits_from_its_first_2xx() -> None:
    (recovery,) = recovered(("kill-redis", 10, 12))
    assert sorted(recovery.waits) == pytest.approx([2.6, 3.0])


def test_the_same_fault_is_counted_together_in_the_order_of_the_first_one() -> None:
    found = recovered(("pause-redis", 13, 15), ("kill-redis", 15, 16), ("kill-redis", 10, 12))
    assert [(recovery.fault, recovery.times) for recovery in found] == [("kill-redis", 2), ("pause-redis", 1)]


def test_no_time_is_known_after_the_last_decision() -> None:
    (recovery,) = recovered(("kill-redis", 16, 17))
    assert recovery.went_on == recovery.waits == ()
