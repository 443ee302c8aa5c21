"""What is admitted, from a measurement and from what was admitted since."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingress.admission import LARGE, PARTS, Admission
from shared.ledger.memory_costs import DECIDED
from shared.messaging.memory import Memory

MEGABYTE = 1_000_000
LIMIT = 100 * MEGABYTE
SMALL = 1_000


def measured(*memories: Memory, backlog: int = 0) -> Admission:
    admission = Admission(max_backlog=1_000_000, max_memory_share=0.9)
    admission.update(backlog, memories, admission.ended)
    return admission


def admit_all(admission: Admission, size: int, offered: int = 100_000) -> int:
    """How many of the offered callbacks are admitted until the next measurement."""
    for count in range(offered):
        if admission.refusal(size):
            return count
        admission.begin(size)
    return offered


def test_before_the_first_measurement_everything_is_admitted() -> None:
    assert admit_all(Admission(1, 0.9), SMALL, 10) == 10


def test_a_server_without_a_memory_limit_admits_everything() -> None:
    assert admit_all(measured(Memory(5 * LIMIT, 0)), SMALL, 1_000) == 1_000


def test_callbacks_are_admitted_as_long_as_they_can_be_decided_too() -> None:
    room = 0.9 * LIMIT - 50 * MEGABYTE
    assert admit_all(measured(Memory(50 * MEGABYTE, LIMIT)), SMALL) == int(room / PARTS / DECIDED)


def test_the_fullest_server_decides() -> None:
    assert measured(Memory(0, LIMIT), Memory(95 * MEGABYTE, LIMIT)).refusal(SMALL) == "memory"


def test_a_measurement_makes_room_for_more() -> None:
    admission = measured(Memory(80 * MEGABYTE, LIMIT))
    first = admit_all(admission, SMALL)
    for _ in range(first):
        admission.end(SMALL)
    assert admission.refusal(SMALL) == "memory"
    admission.update(first, [Memory(80 * MEGABYTE + first * DECIDED, LIMIT)], admission.ended)
    assert 0 < admit_all(admission, SMALL) < first


def test_large_callbacks_take_only_half_of_the_memory() -> None:
    admission = measured(Memory(50 * MEGABYTE, LIMIT))
    assert (admission.refusal(LARGE + 1), admission.refusal(LARGE)) == ("memory", "")


def test_large_callbacks_leave_room_for_small_ones_within_an_interval() -> None:
    admission = measured(Memory(20 * MEGABYTE, LIMIT))
    large = admit_all(admission, 256_000)
    assert large > 0
    assert admit_all(admission, SMALL) > 10 * large


def test_a_large_callback_counts_with_its_own_size() -> None:
    room = 0.45 * LIMIT / PARTS
    assert admit_all(measured(Memory(0, LIMIT)), 256_000) == pytest.approx(room / 256_000, abs=1)


def test_unsigned_returns_take_only_half_of_the_memory_and_a_tenth_of_the_backlog() -> None:
    half_full = measured(Memory(50 * MEGABYTE, LIMIT))
    assert (half_full.refusal(SMALL, unsigned=True), half_full.refusal(SMALL)) == ("memory", "")
    behind = measured(Memory(0, 0), backlog=100_001)
    assert (behind.refusal(SMALL, unsigned=True), behind.refusal(SMALL)) == ("backlog", "")
    empty = measured(Memory(0, 0), backlog=100_000)
    assert empty.refusal(SMALL, unsigned=True) == ""


def test_unsigned_returns_leave_room_for_signed_callbacks_within_an_interval() -> None:
    admission = measured(Memory(20 * MEGABYTE, LIMIT))
    while not admission.refusal(SMALL, unsigned=True):
        admission.begin(SMALL)
    assert admit_all(admission, SMALL) > 500


def test_a_broker_that_accepts_nothing_admits_nothing() -> None:
    assert measured(Memory(1, 1)).refusal(0) == "memory"


@given(
    used=st.integers(0, LIMIT),
    turns=st.lists(st.tuples(st.permutations(range(4)), st.lists(st.integers(0, 3_000), min_size=8, max_size=8))),
)
def test_four_processes_never_admit_more_than_can_be_decided(
    used: int, turns: list[tuple[list[int], list[int]]]
) -> None:
    """In each interval each process measures once, whenever it likes, and gets a burst before and one after that."""
    processes = [measured(Memory(used, LIMIT)) for _ in range(4)]
    projected = float(used)

    def burst(admission: Admission, offered: int) -> float:
        admitted = admit_all(admission, SMALL, offered)
        for _ in range(admitted):
            admission.end(SMALL)
        return float(admitted * DECIDED)

    for order, sizes in turns:
        for place, number in enumerate(order):
            projected += burst(processes[number], sizes[place])
            processes[number].update(0, [Memory(projected, LIMIT)], processes[number].ended)
            projected += burst(processes[number], sizes[place + 4])
        assert projected <= max(used, 0.9 * LIMIT)
