"""The plan of a chaos run is the seed's alone."""

from itertools import pairwise

import pytest

from tests.chaos.faults import ACTS
from tests.chaos.plan import FAULTS, Engine, Round, Strike, rounds

CALLBACKS = {name for name, fault in FAULTS.items() if fault.target == "callbacks"}


def struck(plan: list[Round]) -> set[str]:
    return {strike.fault for one in plan for strike in one.strikes}


def test_the_same_seed_gives_the_same_plan_and_another_seed_another() -> None:
    assert rounds("all", 1000, 7, 4) == rounds("all", 1000, 7, 4)
    assert rounds("all", 1000, 7, 4) != rounds("all", 1000, 8, 4)


def test_every_fault_of_the_table_is_one_that_can_be_done() -> None:
    assert set(ACTS) | CALLBACKS == set(FAULTS)


@pytest.mark.parametrize("words", ["all", "each"])
@pytest.mark.parametrize("engine", ["redis", "rabbitmq"])
def test_all_faults_of_an_engine_come_but_the_crash_of_everything(words: str, engine: Engine) -> None:
    fitting = {name for name, fault in FAULTS.items() if fault.engine in (None, engine)}

    assert struck(rounds(words, 8000, 1, 4, engine)) == fitting - CALLBACKS - {"crash-all"}


def test_either_engine_has_faults_of_its_own() -> None:
    assert FAULTS["destroy-group"].engine == "redis"
    assert {name for name, fault in FAULTS.items() if fault.engine == "rabbitmq"} == {
        *("kill-rabbitmq", "pause-rabbitmq", "fill-rabbitmq"),
        *("cut-rabbitmq", "lose-rabbitmq-replies", "slow-rabbitmq"),
    }
    with pytest.raises(ValueError, match="no fault kill-rabbitmq on redis"):
        rounds("kill-rabbitmq", 100, 1, 2)


def test_no_two_strikes_hit_the_same_target_at_the_same_time() -> None:
    for one in rounds("all", 5000, 1, 4):
        by_target: dict[str, list[Strike]] = {}
        for strike in one.strikes:
            by_target.setdefault(strike.target, []).append(strike)
        for strikes in by_target.values():
            assert all(earlier.at + earlier.seconds < later.at for earlier, later in pairwise(strikes))


def test_faults_alone_never_overlap() -> None:
    for one in rounds("each", 2000, 1, 4):
        assert all(earlier.at + earlier.seconds < later.at for earlier, later in pairwise(one.strikes))


def test_strikes_are_over_when_the_last_guest_comes() -> None:
    for one in rounds("all", 2000, 1, 4):
        assert all(strike.at + strike.seconds < one.sessions / one.pace for strike in one.strikes)


def test_results_have_a_broker_of_their_own_only_where_that_is_struck() -> None:
    assert [one.results_apart for one in rounds("all", 100, 1, 2)] == [False, True]
    assert [one.results_apart for one in rounds("kill-worker, kill-redis", 100, 1, 2)] == [False]
    assert [one.results_apart for one in rounds("results-away", 100, 1, 2)] == [True]
    assert sum(one.sessions for one in rounds("all", 101, 1, 2)) == 101


@pytest.mark.parametrize("words", ["kill-wroker", "crash-all,kill-redis", ""])
def test_what_can_not_be_planned_is_refused(words: str) -> None:
    with pytest.raises(ValueError, match=r"no fault|comes alone"):
        rounds(words, 100, 1, 2)
