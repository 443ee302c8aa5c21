"""Group commit: batches, their replies, and callers that cancel."""

import asyncio
from collections.abc import Sequence

import pytest

from shared.group_commit import GroupCommit


class ManualFlush:
    """A flush whose round trips end when the test calls `end`. It replies to a number with ten times that number."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.round_trips: asyncio.Queue[BaseException | None] = asyncio.Queue()
        self.running = 0

    async def __call__(self, batch: Sequence[int]) -> Sequence[int | BaseException]:
        self.running += 1
        assert self.running == 1, "more than one batch at a time"
        self.batches.append(list(batch))
        fault = await self.round_trips.get()
        self.running -= 1
        if fault is not None:
            raise fault
        return [ValueError("unlucky") if number == 13 else number * 10 for number in batch]

    def end(self, fault: BaseException | None = None) -> None:
        self.round_trips.put_nowait(fault)


async def run_tasks() -> None:
    """Let every task run until it waits."""
    for _ in range(10):
        await asyncio.sleep(0)


def submit(group_commit: GroupCommit[int, int], *numbers: int) -> list[asyncio.Future[int]]:
    return [group_commit.submit(number) for number in numbers]


async def test_an_item_is_sent_at_once_when_no_batch_is_being_sent() -> None:
    flush = ManualFlush()
    submit(GroupCommit(flush), 1)
    await run_tasks()
    assert flush.batches == [[1]]
    flush.end()


async def test_items_submitted_during_a_round_trip_are_sent_together_in_the_next() -> None:
    flush = ManualFlush()
    group_commit = GroupCommit(flush)
    first = submit(group_commit, 1)
    await run_tasks()
    others = submit(group_commit, 2, 3, 4)
    await run_tasks()
    assert flush.batches == [[1]]
    flush.end()
    flush.end()
    assert await asyncio.gather(*first, *others) == [10, 20, 30, 40]
    assert flush.batches == [[1], [2, 3, 4]]


async def test_a_batch_has_at_most_max_batch_items_in_order() -> None:
    flush = ManualFlush()
    calls = submit(GroupCommit(flush, max_batch=2), 1, 2, 3, 4, 5)
    for _ in range(3):
        flush.end()
    assert await asyncio.gather(*calls) == [10, 20, 30, 40, 50]
    assert flush.batches == [[1, 2], [3, 4], [5]]


async def test_a_failed_item_raises_to_its_caller_only() -> None:
    flush = ManualFlush()
    flush.end()
    good, bad, other = submit(GroupCommit(flush), 1, 13, 2)
    assert await good == 10
    assert await other == 20
    with pytest.raises(ValueError, match="unlucky"):
        await bad


async def test_a_failed_round_trip_raises_to_its_batch_only() -> None:
    flush = ManualFlush()
    group_commit = GroupCommit(flush)
    first = submit(group_commit, 1, 2)
    await run_tasks()
    second = submit(group_commit, 3)
    flush.end(ConnectionError("away"))
    flush.end()
    assert [type(answer) for answer in await asyncio.gather(*first, return_exceptions=True)] == [ConnectionError] * 2
    assert await asyncio.gather(*second) == [30]


async def test_an_item_that_is_cancelled_before_its_batch_is_not_sent() -> None:
    flush = ManualFlush()
    group_commit = GroupCommit(flush)
    first, gone, stays = submit(group_commit, 1), submit(group_commit, 2), submit(group_commit, 3)
    await run_tasks()
    assert flush.batches == [[1, 2, 3]]
    late, later = submit(group_commit, 4, 5)
    await run_tasks()
    late.cancel()
    gone[0].cancel()
    flush.end()
    flush.end()
    assert await asyncio.gather(*first, *stays, later) == [10, 30, 50]
    assert flush.batches[1:] == [[5]]


async def test_nothing_is_sent_when_all_items_are_cancelled() -> None:
    flush = ManualFlush()
    group_commit = GroupCommit(flush)
    first = submit(group_commit, 1)
    await run_tasks()
    (late,) = submit(group_commit, 2)
    await run_tasks()
    late.cancel()
    flush.end()
    assert await asyncio.gather(*first) == [10]
    await run_tasks()
    assert flush.batches == [[1]]


async def test_items_are_sent_again_after_a_pause() -> None:
    flush = ManualFlush()
    group_commit = GroupCommit(flush)
    for number in (1, 2):
        flush.end()
        assert await group_commit.submit(number) == number * 10
    assert flush.batches == [[1], [2]]
