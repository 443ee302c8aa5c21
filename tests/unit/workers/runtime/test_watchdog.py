"""An item that is held longer than any stage may take ends the process."""

import asyncio

import pytest

from shared import item_clock
from shared.item_clock import ItemClock, paused
from shared.messaging.delivery import Delivery
from workers.runtime import watchdog as module
from workers.runtime.watchdog import StageOverdue, Watchdog, longest_stage


class FakePump:
    def __init__(self) -> None:
        self.given_back: list[str] = []
        self.failure: BaseException | None = None

    def give_back(self, tag: str) -> None:
        self.given_back.append(tag)

    def fail(self, error: BaseException) -> None:
        self.failure = error


def delivery(tag: str) -> Delivery:
    return Delivery(tag, "callbacks", {"id": tag}, "", b"")


async def test_the_overdue_message_is_handed_back_and_the_pump_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHECK_SECONDS", 0.001)
    pump, watchdog = FakePump(), Watchdog(limit=0.05)
    watchdog.begin(delivery("done"))
    watchdog.end(delivery("done"))
    watchdog.begin(delivery("hung"))
    await watchdog.watch(pump)
    assert pump.given_back == ["hung"]
    assert isinstance(pump.failure, StageOverdue)


async def test_a_message_that_waits_for_its_turn_is_not_overdue() -> None:
    watchdog, waiting, go_on = Watchdog(limit=0.0), asyncio.Event(), asyncio.Event()

    async def work() -> None:
        watchdog.begin(delivery("waits"))
        with paused():
            waiting.set()
            await go_on.wait()

    watchdog.limit = 60.0
    task = asyncio.create_task(work())
    await waiting.wait()
    ((_, clock),) = watchdog._clocks.values()
    before = clock.seconds
    await asyncio.sleep(0.02)
    assert clock.seconds == before
    go_on.set()
    await task


def test_a_clock_counts_only_while_it_is_not_paused() -> None:
    now = [0.0]
    clock = ItemClock(lambda: now[0])
    for moment, act in ((1.0, clock.pause), (5.0, clock.pause), (6.0, clock.resume), (9.0, clock.resume)):
        now[0] = moment
        act()
    now[0] = 11.0
    assert clock.seconds == 3.0


def test_pausing_without_an_item_does_nothing() -> None:
    with paused():
        assert item_clock._current.get() is None


def test_the_limit_grows_with_the_time_and_the_number_of_reads() -> None:
    assert longest_stage(10.0, 3) == 3 * (3 * 10.0 + 5 * 30.0) + 300.0
    assert longest_stage(120.0, 3) > 3 * 3 * 120.0
