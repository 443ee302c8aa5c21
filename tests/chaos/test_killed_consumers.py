"""Consumers of results that die: kill -9 again and again, a decision that kills, SIGTERM."""

import os
import random
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from deploy.local.program import Program
from shared.events.cloudevent import to_event
from tests.chaos.results_consumer import open_database
from tests.support.result_makers import DECISIONS, decision, publish
from tests.support.result_readers import letters
from tests.support.waiting import until

pytestmark = [pytest.mark.server, pytest.mark.timeout(400)]

KILLS = 20
DECISIONS_A_KILL = 100
SECONDS = 120


@pytest.fixture(params=["redis", "rabbit"])
def url(request: pytest.FixtureRequest) -> str:
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.fixture
def database(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(open_database(tmp_path / "db")) as database:
        yield database


class Consumers:
    """Processes of one group; those that die are started again."""

    def __init__(self, url: str, folder: Path, count: int, work: float = 0.0, killer: int | None = None) -> None:
        words = [url, str(folder / "db"), str(work), *([] if killer is None else [str(killer)])]
        command = (sys.executable, "-m", "tests.chaos.results_consumer", *words)
        self.programs = [Program(f"consumer-{number}", command, os.environ, folder) for number in range(count)]
        self.deaths = 0

    def tend(self) -> None:
        """Start whatever does not run."""
        for program in self.programs:
            if not program.running:
                self.deaths += program.exit_code is not None
                program.start()

    def stop(self) -> list[int | None]:
        """SIGTERM to all; their exit codes."""
        return [program.stop() for program in self.programs]


def numbers(database: sqlite3.Connection, table: str) -> list[int]:
    return sorted(number for (number,) in database.execute(f"SELECT number FROM {table}"))


def has_more(database: sqlite3.Connection, than: int) -> bool:
    """Whether so many decisions were handed over, and one more."""
    return len(set(numbers(database, "calls"))) > than


def test_twenty_kills_while_two_thousand_decisions_flow(url: str, tmp_path: Path, database: sqlite3.Connection) -> None:
    choose = random.Random(5)
    consumers = Consumers(url, tmp_path, 2)
    consumers.tend()
    for injection in range(KILLS):
        before = injection * DECISIONS_A_KILL
        publish(url, *(decision(number) for number in range(before, before + DECISIONS_A_KILL)))
        until(partial(has_more, database, before), SECONDS)
        choose.choice(consumers.programs).kill()
        consumers.tend()
    everything = list(range(KILLS * DECISIONS_A_KILL))
    until(lambda: len(numbers(database, "effects")) >= len(everything), SECONDS)
    consumers.stop()
    calls = numbers(database, "calls")
    print(f"{consumers.deaths} killed; {len(everything)} decisions, {len(calls) - len(everything)} handed over again")
    assert consumers.deaths == KILLS
    assert sorted(set(calls)) == everything, "at least once"
    assert numbers(database, "effects") == everything, "exactly once, by the helper"
    assert letters(url, f"{DECISIONS}.dead") == []


def test_a_decision_that_kills_its_consumer_is_a_dead_letter_and_takes_no_other_with_it(
    url: str, tmp_path: Path, database: sqlite3.Connection
) -> None:
    killer, count = 30, 60
    consumers = Consumers(url, tmp_path, 1, killer=killer)
    publish(url, *(decision(number) for number in range(count)))

    found: list[tuple[bytes, dict[str, object]]] = []

    def buried() -> bool:
        consumers.tend()
        found.extend(letters(url, f"{DECISIONS}.dead"))
        return bool(found)

    until(buried, SECONDS)
    until(lambda: len(numbers(database, "effects")) >= count - 1, SECONDS)
    assert consumers.stop() == [0]
    ((body, headers),) = found
    assert (body, headers["dead-reason"]) == (to_event(decision(killer)), "poison")
    assert consumers.deaths == numbers(database, "calls").count(killer) == 5
    assert numbers(database, "effects") == [number for number in range(count) if number != killer]


def test_sigterm_finishes_the_decision_in_hand_and_hands_back_the_others(
    url: str, tmp_path: Path, database: sqlite3.Connection
) -> None:
    consumers = Consumers(url, tmp_path, 1, work=0.3)
    publish(url, *(decision(number) for number in range(10)))
    consumers.tend()
    until(lambda: numbers(database, "calls"), SECONDS)
    assert consumers.stop() == [0]
    assert numbers(database, "calls") == numbers(database, "effects")
    successors = Consumers(url, tmp_path, 1)
    successors.tend()
    until(lambda: len(numbers(database, "effects")) == 10, SECONDS)
    assert successors.stop() == [0]
    assert numbers(database, "calls") == list(range(10))
