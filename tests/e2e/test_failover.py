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
from tests.support.commands import Faceid
from tests.support.load import bodies, decisions, post_all, post_until_stored, without_times
from tests.support.queues import is_idle
from tests.support.redis_clients import open_redis
from tests.support.replicas import ReplicaPair, by_command, by_hand, role
from tests.support.sentinels import SentinelSetup
from tests.support.stacks import new_stack
from tests.support.waiting import until

pytestmark = pytest.mark.server
COUNT = 400
AT_ONCE = 8
QUICK = {
    "FACEID_GETRESULT_TIMEOUT_SECONDS": "1",
    "FACEID_READ_SPACING_SECONDS": "0.2",
    "FACEID_LEASE_SECONDS": "2",
}
"""What the new primary never got of a read is given up after four time-outs."""


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


def test_work_goes_on_after_sentinels_replaced_a_killed_primary(tmp_path: Path, sentinels: SentinelSetup) -> None:
    """The ingress waits for the replica, so whatever it has answered 200 survives the primary."""
    stack = new_stack(tmp_path / "stack", redis_url=sentinels.url, settings=QUICK | {"FACEID_STORE_REPLICAS": "1"})
    with stack.running():
        asyncio.run(post_through_a_kill(stack, sentinels))
        until(lambda: is_done(sentinels), what="every decision", of=stack.programs)
        with closing(open_redis(sentinels.url)) as redis:
            made = decisions(redis)
        ran = Faceid(stack.env)("status", "--json")
    assert len({decision["biz_id"] for decision in made}) == len(made) == COUNT
    assert (ran.code, ran.err) == (0, "")


def is_done(sentinels: SentinelSetup) -> bool:
    with open_redis(sentinels.url) as redis:
        return count(sentinels.url) >= COUNT and is_idle(redis)


async def post_through_a_kill(stack: Stack, sentinels: SentinelSetup) -> None:
    """Post each callback until it is answered 200, and kill the primary in the middle; it comes back as a replica."""
    posting = asyncio.create_task(post_until_stored(stack.notify_url, bodies(COUNT), AT_ONCE))
    await asyncio.to_thread(wait_for_decisions, stack, sentinels.url, COUNT // 4)
    dead = sentinels.kill_primary()
    at = time.monotonic()
    await asyncio.to_thread(until, lambda: role(sentinels.primary) == "master", what="the Sentinels", of=stack.programs)
    promoted, before = time.monotonic() - at, count(sentinels.primary.url)
    dead.start()  # the Sentinels make it a replica: without one nothing is answered 200
    await asyncio.to_thread(until, lambda: count(sentinels.primary.url) > before, what="work", of=stack.programs)
    print(f"{promoted:.1f} s until a new primary, {time.monotonic() - at:.1f} s until the next decision")
    await posting


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
