"""Group commit: batches, their answers, and callers that go away."""

import asyncio
from collections.abc import Sequence

import pytest

from shared.group_commit import GroupCommit


class Slow:
    """A flush whose round trips end when the test says so; answers each number with ten times itself."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.trips: asyncio.Queue[BaseException | None] = asyncio.Queue()
        self.under_way = 0

    async def __call__(self, batch: Sequence[int]) -> Sequence[int | BaseException]:
        self.under_way += 1
        assert self.under_way == 1, "one batch at a time"
        self.batches.append(list(batch))
        fault = await self.trips.get()
        self.under_way -= 1
        if fault is not None:
            raise fault
        return [ValueError("unlucky") if number == 13 else number * 10 for number in batch]

    def end(self, fault: BaseException | None = None) -> None:
        self.trips.put_nowait(fault)


async def settled() -> None:
    """Let every task run as far as it can."""
    for _ in range(10):
        await asyncio.sleep(0)


def submit(gather: GroupCommit[int, int], *numbers: int) -> list[asyncio.Future[int]]:
    return [gather.submit(number) for number in numbers]


async def test_an_idle_gatherer_sends_at_once() -> None:
    flush = Slow()
    submit(GroupCommit(flush), 1)
    await settled()
    assert flush.batches == [[1]]
    flush.end()


async def test_what_arrives_during_a_round_trip_goes_out_together_in_the_next() -> None:
    flush = Slow()
    gather = GroupCommit(flush)
    first = submit(gather, 1)
    await settled()
    others = submit(gather, 2, 3, 4)
    await settled()
    assert flush.batches == [[1]]
    flush.end()
    flush.end()
    assert await asyncio.gather(*first, *others) == [10, 20, 30, 40]
    assert flush.batches == [[1], [2, 3, 4]]


async def test_a_batch_has_its_limit_and_keeps_the_order() -> None:
    flush = Slow()
    calls = submit(GroupCommit(flush, max_batch=2), 1, 2, 3, 4, 5)
    for _ in range(3):
        flush.end()
    assert await asyncio.gather(*calls) == [10, 20, 30, 40, 50]
    assert flush.batches == [[1, 2], [3, 4], [5]]


async def test_one_failing_answer_hits_its_caller_only() -> None:
    flush = Slow()
    flush.end()
    good, bad, other = submit(GroupCommit(flush), 1, 13, 2)
    assert await good == 10
    assert await other == 20
    with pytest.raises(ValueError, match="unlucky"):
        await bad


async def test_a_failing_round_trip_hits_its_batch_and_not_the_next() -> None:
    flush = Slow()
    gather = GroupCommit(flush)
    first = submit(gather, 1, 2)
    await settled()
    second = submit(gather, 3)
    flush.end(ConnectionError("away"))
    flush.end()
    assert [type(answer) for answer in await asyncio.gather(*first, return_exceptions=True)] == [ConnectionError] * 2
    assert await asyncio.gather(*second) == [30]


async def test_who_goes_away_while_waiting_is_not_sent() -> None:
    flush = Slow()
    gather = GroupCommit(flush)
    first, gone, stays = submit(gather, 1), submit(gather, 2), submit(gather, 3)
    await settled()
    assert flush.batches == [[1, 2, 3]]
    late, later = submit(gather, 4, 5)
    await settled()
    late.cancel()
    gone[0].cancel()
    flush.end()
    flush.end()
    assert await asyncio.gather(*first, *stays, later) == [10, 30, 50]
    assert flush.batches[1:] == [[5]]


async def test_when_all_have_gone_away_nothing_is_sent() -> None:
    flush = Slow()
    gather = GroupCommit(flush)
    first = submit(gather, 1)
    await settled()
    (late,) = submit(gather, 2)
    await settled()
    late.cancel()
    flush.end()
    assert await asyncio.gather(*first) == [10]
    await settled()
    assert flush.batches == [[1]]


async def test_after_a_pause_it_goes_on() -> None:
    flush = Slow()
    gather = GroupCommit(flush)
    for number in (1, 2):
        flush.end()
        assert await gather.submit(number) == number * 10
    assert flush.batches == [[1], [2]]
