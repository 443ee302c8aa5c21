"""The vendor's limit of concurrent calls: all workers together adapt to it, and every case is decided."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deploy.local.session_runner import SessionRunner
from deploy.local.sessions import Session
from deploy.local.stack import Stack
from tests.support.load import decisions
from tests.support.redis_clients import open_redis
from tests.support.stacks import new_stack
from tests.support.waiting import until

pytestmark = pytest.mark.server

LIMIT = 8
SESSIONS = 300


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Two workers, each of which could make 256 calls at once, and a vendor that allows eight."""
    settings = {
        "FACEID_SIMULATOR_CONCURRENCY_LIMIT": str(LIMIT),
        "FACEID_SIMULATOR_GET_RESULT_SECONDS": "0.05",
    }
    with new_stack(tmp_path_factory.mktemp("limit"), settings=settings).running() as running:
        yield running


async def play(stack: Stack, count: int) -> None:
    async for _ in SessionRunner(stack, at_once=40).run([Session("pass", "APPROVED", 1)] * count):
        pass


def stats(stack: Stack) -> dict[str, Any]:
    return asyncio.run(SessionRunner(stack).control.stats())


def test_every_case_is_decided_by_one_read_despite_the_limit(stack: Stack) -> None:
    with open_redis(stack.redis_url) as redis:
        asyncio.run(play(stack, SESSIONS))
        until(lambda: len(decisions(redis)) == SESSIONS, what="every decision", of=stack.programs)
        made = decisions(redis)
        reads = {redis.hget(key, "reads") for key in redis.scan_iter("faceid:case:*")}
        alerts = redis.xlen("faceid.alerts")
    seen = stats(stack)
    refused = seen["answers"]["CONCURRENCY_LIMIT_EXCEEDED"]
    print(f"{SESSIONS} sessions, limit {LIMIT}: {seen['calls']} calls, {refused} of them refused")
    assert {(decision["outcome"], decision["reconciled"]) for decision in made} == {("APPROVED", True)}
    assert (reads, alerts) == ({b"1"}, 0)
    assert (seen["max_in_flight"], seen["max_reads"]) == (LIMIT, 1)
    assert seen["calls"] == SESSIONS + refused
    assert refused <= SESSIONS / 4, "the workers adapt to the limit"


def test_a_worker_holds_more_messages_than_it_makes_calls(tmp_path: Path) -> None:
    settings = {
        "FACEID_GETRESULT_CONCURRENCY": str(LIMIT),
        "FACEID_PREFETCH": "512",
        "FACEID_SIMULATOR_GET_RESULT_SECONDS": "0.1",
    }
    with (
        new_stack(tmp_path, settings=settings, worker_stages=((),)).running() as stack,
        open_redis(stack.redis_url) as redis,
    ):
        asyncio.run(play(stack, SESSIONS))
        until(lambda: len(decisions(redis)) == SESSIONS, what="every decision", of=stack.programs)
        seen = stats(stack)
    assert seen["max_in_flight"] <= LIMIT
    assert (seen["calls"], seen["max_reads"]) == (SESSIONS, 1)
