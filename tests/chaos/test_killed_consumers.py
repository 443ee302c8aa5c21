"""Consumers of results that end: killed again and again, by a decision that kills its consumer, by SIGTERM."""

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
from tests.support.result_readers import dead_letters
from tests.support.waiting import LIMIT, until

pytestmark = pytest.mark.server

KILLS = 20
DECISIONS_A_KILL = 100


@pytest.fixture(params=["redis", "rabbit"])
def url(request: pytest.FixtureRequest) -> str:
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.fixture
def database(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(open_database(tmp_path / "db")) as database:
        yield database


class Consumers:
    """Consumer processes of one group. `start` starts those again that have died."""

    def __init__(self, url: str, folder: Path, count: int, work: float = 0.0, killer: int | None = None) -> None:
        words = [url, str(folder / "db"), str(work), *([] if killer is None else [str(killer)])]
        command = (sys.executable, "-m", "tests.chaos.results_consumer", *words)
        self.programs = [Program(f"consumer-{number}", command, os.environ, folder) for number in range(count)]
        self.deaths = 0

    def start(self) -> None:
        """Start the processes that do not run."""
        for program in self.programs:
            if not program.running:
                self.deaths += program.exit_code is not None
                program.start()

    def stop(self) -> list[int | None]:
        """Send SIGTERM to all. Returns their exit codes."""
        return [program.stop(LIMIT) for program in self.programs]


def numbers(database: sqlite3.Connection, table: str) -> list[int]:
    return sorted(number for (number,) in database.execute(f"SELECT number FROM {table}"))


def has_more(database: sqlite3.Connection, than: int) -> bool:
    """Whether more than so many decisions were delivered."""
    return len(set(numbers(database, "calls"))) > than


def test_killed_consumers_lose_no_decision(url: str, tmp_path: Path, database: sqlite3.Connection) -> None:
    choose = random.Random(5)
    consumers = Consumers(url, tmp_path, 2)
    consumers.start()
    for kill in range(KILLS):
        before = kill * DECISIONS_A_KILL
        publish(url, *(decision(number) for number in range(before, before + DECISIONS_A_KILL)))
        until(partial(has_more, database, before), of=consumers.programs)
        choose.choice(consumers.programs).kill()
        consumers.start()
    everything = list(range(KILLS * DECISIONS_A_KILL))
    until(lambda: len(numbers(database, "effects")) >= len(everything), of=consumers.programs)
    consumers.stop()
    calls = numbers(database, "calls")
    print(f"{consumers.deaths} killed; {len(everything)} decisions, {len(calls) - len(everything)} delivered again")
    assert consumers.deaths == KILLS
    assert sorted(set(calls)) == everything, "at least once"
    assert numbers(database, "effects") == everything, "exactly once, by the helper"
    assert dead_letters(url, f"{DECISIONS}.dead") == []


def test_a_decision_that_kills_its_consumer_becomes_a_dead_letter_alone(
    url: str, tmp_path: Path, database: sqlite3.Connection
) -> None:
    killer, count = 30, 60
    consumers = Consumers(url, tmp_path, 1, killer=killer)
    publish(url, *(decision(number) for number in range(count)))

    found: list[tuple[bytes, dict[str, object]]] = []

    def is_dead_letter() -> bool:
        consumers.start()
        found.extend(dead_letters(url, f"{DECISIONS}.dead"))
        return bool(found)

    until(is_dead_letter)
    until(lambda: len(numbers(database, "effects")) >= count - 1, of=consumers.programs)
    assert consumers.stop() == [0]
    ((body, headers),) = found
    assert (body, headers["dead-reason"]) == (to_event(decision(killer)), "poison")
    assert consumers.deaths == numbers(database, "calls").count(killer) == 5
    assert numbers(database, "effects") == [number for number in range(count) if number != killer]


def test_sigterm_finishes_the_current_decision_and_returns_the_others(
    url: str, tmp_path: Path, database: sqlite3.Connection
) -> None:
    consumers = Consumers(url, tmp_path, 1, work=0.3)
    publish(url, *(decision(number) for number in range(10)))
    consumers.start()
    until(lambda: numbers(database, "calls"), of=consumers.programs)
    assert consumers.stop() == [0]
    assert numbers(database, "calls") == numbers(database, "effects")
    successors = Consumers(url, tmp_path, 1)
    successors.start()
    until(lambda: len(numbers(database, "effects")) == 10, of=successors.programs)
    assert successors.stop() == [0]
    assert numbers(database, "calls") == list(range(10))
