"""The pauses of a worker whose ledger is full, with a clock that is set by hand."""

from random import Random

import pytest
from structlog.testing import capture_logs

from tests.support.redis_clients import unreachable_redis
from workers.runtime.full_ledger import FIRST_PAUSE, LONGEST_PAUSE, FullLedger, has_room


class Bench:
    def __init__(self) -> None:
        self.now = 5.0
        self.room = False
        self.looks = 0
        self.full_ledger = FullLedger(self._look, Random(1), lambda: self.now)

    def _look(self) -> bool:
        self.looks += 1
        return self.room

    def pass_pause(self) -> float:
        """Let the pause end. Returns its seconds."""
        began = self.now
        while self.full_ledger.is_pausing():
            self.now += 0.05
        return self.now - began


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_a_worker_reads_until_an_attempt_is_refused(bench: Bench) -> None:
    assert not bench.full_ledger.is_pausing()
    bench.full_ledger.refused()
    assert bench.full_ledger.is_pausing()


def test_pauses_are_doubled_up_to_a_minute_while_redis_stays_full(bench: Bench) -> None:
    pauses = []
    for _ in range(10):
        bench.full_ledger.refused()
        pauses.append(bench.pass_pause())
    for number, pause in enumerate(pauses):
        longest = min(LONGEST_PAUSE, FIRST_PAUSE * 2**number)
        assert longest / 2 <= pause <= longest + 0.1
    assert pauses[-1] >= LONGEST_PAUSE / 2


def test_a_batch_of_refused_attempts_is_one_pause_and_one_line(bench: Bench) -> None:
    with capture_logs() as lines:
        for _ in range(500):
            bench.full_ledger.refused()
        bench.pass_pause()
        bench.full_ledger.refused()
    assert [(line["event"], line["refused"]) for line in lines] == [("ledger.full", 1), ("ledger.full", 500)]


def test_an_item_is_tried_again_after_the_pause_and_a_minute_at_most(bench: Bench) -> None:
    for _ in range(10):
        seconds = [bench.full_ledger.refused() for _ in range(100)]
        assert max(seconds) <= LONGEST_PAUSE
        assert min(seconds) >= bench.pass_pause() - 0.1


def test_a_pause_ends_within_seconds_when_redis_has_room_again(bench: Bench) -> None:
    for _ in range(8):
        bench.full_ledger.refused()
        bench.pass_pause()
    bench.full_ledger.refused()
    assert bench.full_ledger.is_pausing()
    bench.room = True
    assert bench.pass_pause() <= 1.1


def test_redis_is_asked_once_a_second_and_only_during_a_pause(bench: Bench) -> None:
    bench.full_ledger.is_pausing()
    assert bench.looks == 0
    for _ in range(8):
        bench.full_ledger.refused()
        bench.looks = 0
        pause = bench.pass_pause()
        assert bench.looks <= pause
        for _ in range(100):
            bench.full_ledger.is_pausing()
        assert bench.looks <= pause


def test_after_working_for_a_while_the_next_pause_is_short_again(bench: Bench) -> None:
    for _ in range(8):
        bench.full_ledger.refused()
        bench.pass_pause()
    bench.now += 2 * LONGEST_PAUSE
    bench.full_ledger.refused()
    assert bench.pass_pause() <= FIRST_PAUSE + 0.1


def test_a_redis_that_is_away_has_no_room() -> None:
    assert not has_room(unreachable_redis())
