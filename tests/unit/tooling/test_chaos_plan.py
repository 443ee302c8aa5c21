"""The plan of a chaos run depends on the seed alone."""

from itertools import pairwise

import pytest

from tests.chaos.faults import INJECT
from tests.chaos.plan import FAULTS, Engine, Injection, Round, rounds

CALLBACKS = {name for name, fault in FAULTS.items() if fault.target == "callbacks"}


def injected(plan: list[Round]) -> set[str]:
    return {injection.fault for one in plan for injection in one.injections}


def test_the_same_seed_gives_the_same_plan_and_another_seed_another() -> None:
    assert rounds("all", 1000, 7, 4) == rounds("all", 1000, 7, 4)
    assert rounds("all", 1000, 7, 4) != rounds("all", 1000, 8, 4)


def test_every_fault_can_be_injected() -> None:
    assert set(INJECT) | CALLBACKS == set(FAULTS)


@pytest.mark.parametrize("words", ["all", "each"])
@pytest.mark.parametrize("engine", ["redis", "rabbitmq"])
def test_all_faults_of_an_engine_are_injected_but_the_crash_of_everything(words: str, engine: Engine) -> None:
    fitting = {name for name, fault in FAULTS.items() if fault.engine in (None, engine)}

    assert injected(rounds(words, 8000, 1, 4, engine)) == fitting - CALLBACKS - {"crash-all"}


def test_each_engine_has_faults_of_its_own() -> None:
    assert FAULTS["destroy-group"].engine == "redis"
    assert {name for name, fault in FAULTS.items() if fault.engine == "rabbitmq"} == {
        *("kill-rabbitmq", "pause-rabbitmq", "fill-rabbitmq"),
        *("cut-rabbitmq", "lose-rabbitmq-replies", "slow-rabbitmq"),
    }
    with pytest.raises(ValueError, match="no fault kill-rabbitmq on redis"):
        rounds("kill-rabbitmq", 100, 1, 2)


def test_a_target_has_one_fault_at_a_time() -> None:
    for one in rounds("all", 5000, 1, 4):
        by_target: dict[str, list[Injection]] = {}
        for injection in one.injections:
            by_target.setdefault(injection.target, []).append(injection)
        for injections in by_target.values():
            assert all(earlier.at + earlier.seconds < later.at for earlier, later in pairwise(injections))


def test_faults_alone_never_overlap() -> None:
    for one in rounds("each", 2000, 1, 4):
        assert all(earlier.at + earlier.seconds < later.at for earlier, later in pairwise(one.injections))


def test_every_fault_is_over_when_the_last_session_begins() -> None:
    for one in rounds("all", 2000, 1, 4):
        assert all(injection.at + injection.seconds < one.sessions / one.pace for injection in one.injections)


def test_results_have_a_broker_of_their_own_only_where_that_is_injected() -> None:
    assert [one.results_apart for one in rounds("all", 100, 1, 2)] == [False, True]
    assert [one.results_apart for one in rounds("kill-worker, kill-redis", 100, 1, 2)] == [False]
    assert [one.results_apart for one in rounds("results-away", 100, 1, 2)] == [True]
    assert sum(one.sessions for one in rounds("all", 101, 1, 2)) == 101


@pytest.mark.parametrize("words", ["kill-wroker", "crash-all,kill-redis", ""])
def test_an_unknown_fault_or_an_impossible_mix_is_an_error(words: str) -> None:
    with pytest.raises(ValueError, match=r"no fault|can't be mixed"):
        rounds(words, 100, 1, 2)
