"""The projection of `faceid doctor`: what Redis has room for."""

from console.doctor.capacity import judge_capacity
from shared.ledger.memory_costs import CASE, DECIDED


def test_callbacks_that_can_be_decided_and_cases_of_each_day_are_counted() -> None:
    found = judge_capacity(100 * DECIDED, 1_000 * DECIDED, 0.5, 10.0)
    cases = 500 * DECIDED // CASE
    assert found.found == (
        f"400 more callbacks can wait and be decided; {cases:,} cases can be kept, {cases // 10:,} a day for 10 days"
    )
    assert (found.level, found.hint) == ("ok", "")


def test_no_room_for_another_callback_is_a_warning() -> None:
    assert judge_capacity(900 * DECIDED, 1_000 * DECIDED, 0.9, 30.0).level == "warn"


def test_without_a_limit_nothing_can_be_projected() -> None:
    assert judge_capacity(1, 0, 0.9, 30.0).found == "not known without maxmemory"
