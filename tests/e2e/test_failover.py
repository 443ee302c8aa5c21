"""Real processes go on after a failover of their Redis: none is restarted, nothing is lost or published twice."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from deploy.local.stack import Stack
from tests.support.load import bodies, decisions, post_all, without_times
from tests.support.queues import is_idle
from tests.support.redis_clients import open_redis
from tests.support.replicas import ReplicaPair, by_command, by_hand
from tests.support.stacks import new_stack
from tests.support.waiting import until

pytestmark = pytest.mark.server
COUNT = 400
AT_ONCE = 8


@pytest.fixture
def stack(tmp_path: Path, replica_pair: ReplicaPair) -> Iterator[Stack]:
    with ExitStack() as stack:
        yield stack.enter_context(new_stack(tmp_path / "stack", redis_url=replica_pair.url).running())


@pytest.mark.parametrize("how", [by_hand, by_command])
def test_work_goes_on_after_a_failover_behind_one_address(
    stack: Stack, replica_pair: ReplicaPair, how: Callable[[Redis, Redis, ReplicaPair], None]
) -> None:
    """The proxy keeps every connection to the old primary."""
    statuses = asyncio.run(post_through_a_failover(stack, lambda: replica_pair.fail_over(how), replica_pair.url))
    assert_decided_once(stack, replica_pair.url, statuses)


async def post_through_a_failover(stack: Stack, fail_over: Callable[[], None], url: str) -> Counter[int]:
    """Post `COUNT` callbacks and fail over in the middle, then post again until one more is stored."""
    posting = asyncio.create_task(post_all(stack.notify_url, bodies(COUNT), AT_ONCE))
    await asyncio.to_thread(wait_for_decisions, stack, url, COUNT // 4)
    await asyncio.to_thread(fail_over)
    at, before = time.monotonic(), count(url)
    await asyncio.to_thread(wait_for_decisions, stack, url, before + 1)
    print(f"{time.monotonic() - at:.1f} s until the next decision")
    statuses = await posting
    extra: Counter[int] = Counter()
    while not extra[200]:
        extra = await post_all(stack.notify_url, bodies(1, first=COUNT + 1), 1)
        statuses += extra
    return statuses


def assert_decided_once(stack: Stack, url: str, statuses: Counter[int]) -> None:
    """Every callback that was answered 200 has one decision. One that was answered otherwise may have one."""
    with closing(open_redis(url)) as redis:
        until(lambda: count(url) >= statuses[200] and is_idle(redis), what="every decision", of=stack.programs)
        made = decisions(redis)
        assert redis.zcard("faceid:dead") == 0
    print(f"{statuses}: {len(made)} decisions")
    assert len({decision["biz_id"] for decision in made}) == len({without_times(each) for each in made}) == len(made)
    assert all(program.running for program in stack.programs)


def wait_for_decisions(stack: Stack, url: str, number: int) -> None:
    until(lambda: count(url) >= number, what=f"{number} decisions", of=stack.programs)


def count(url: str) -> int:
    with open_redis(url) as redis:
        number: Any = redis.xlen("faceid.decisions")
        return int(number)
