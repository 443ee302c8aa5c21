"""A loop that turns is alive, one that has stopped turning is not."""

import asyncio

from shared.admin.loop_watch import STUCK_SECONDS, LoopWatch
from tests.support.waiting import eventually


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_loop_that_never_turned_is_stuck_after_ten_seconds() -> None:
    clock = Clock()
    watch = LoopWatch(clock)
    clock.now += STUCK_SECONDS
    assert watch.fault() == ""
    clock.now += 2.4
    assert watch.fault() == "the event loop has not turned for 12 s"


async def test_a_turn_of_the_loop_is_noted() -> None:
    clock = Clock()
    watch = LoopWatch(clock)
    clock.now += 60
    assert watch.fault() != ""
    turning = asyncio.create_task(watch.run())
    await eventually(lambda: watch.fault() == "")
    turning.cancel()
