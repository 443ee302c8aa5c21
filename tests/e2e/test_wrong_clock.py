"""The wall clock of one process is wrong. It loses nothing and delays nothing longer than it should."""

import asyncio
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from redis import Redis

from deploy.local.stack import Stack
from shared.ledger.message_set import MessageSet
from tests.support.load import alerts, bodies, decisions, post_all
from tests.support.redis_clients import open_redis, server_time
from tests.support.stacks import new_stack
from tests.support.waiting import LIMIT, until
from tests.support.wrong_clocks import DAY, set_clock_ahead

pytestmark = pytest.mark.server

RESULTS = 300
DELAY = 300.0


@pytest.fixture
def redis(redis_url: str) -> Iterator[Redis]:
    with open_redis(redis_url) as client:
        yield client


def stack_with_wrong_clock(redis_url: str, folder: Path, ahead: float, settings: dict[str, str]) -> Stack:
    """A stack with one worker whose clock is so many seconds ahead."""
    stack = new_stack(folder, redis_url=redis_url, worker_stages=((),), settings=settings)
    set_clock_ahead(stack.workers[0], ahead)
    return stack


@pytest.mark.parametrize("ahead", [31 * DAY, -DAY])
def test_a_wrong_clock_deletes_no_results_that_are_unread(
    redis_url: str, redis: Redis, tmp_path: Path, ahead: float
) -> None:
    for number in range(RESULTS):
        redis.xadd("faceid.decisions", {"body": number})
    redis.xadd("faceid.alerts", {"body": "read by every group"})
    redis.xgroup_create("faceid.alerts", "mail", "0")
    reply: Any = redis.xreadgroup("mail", "c", {"faceid.alerts": ">"})
    read = reply[0][1][0][0]
    redis.xack("faceid.alerts", "mail", read)
    stack = stack_with_wrong_clock(redis_url, tmp_path, ahead, {})
    with stack.running():
        until(lambda: not redis.xrange("faceid.alerts", read, read), what="the trimming", of=stack.programs)
        assert redis.xlen("faceid.decisions") == RESULTS
        until(lambda: stack.workers[0].logged("clock.skewed"), what="the log line", of=stack.programs)
        until(lambda: [alert.kind for alert in alerts(redis)] == ["clock_skew"], what="the alert", of=stack.programs)


@pytest.mark.parametrize("ahead", [31 * DAY, DAY, -DAY])
def test_a_wrong_clock_delays_an_unsigned_return_as_long_as_a_right_one(
    redis_url: str, redis: Redis, tmp_path: Path, ahead: float
) -> None:
    settings = {"FACEID_HINT_DELAY_SECONDS": str(int(DELAY))}
    stack = stack_with_wrong_clock(redis_url, tmp_path, ahead, settings)
    with stack.running():
        httpx.get(stack.return_url, params={"biz_id": f"{time.time():.0f},{uuid4()}"}).raise_for_status()
        until(lambda: redis.exists("faceid:delayed"), what="the delay", of=stack.programs)
        (delayed,) = MessageSet(redis, "faceid", "delayed")
        due = delayed.at
        assert DELAY - LIMIT < due - server_time(redis) <= DELAY


@pytest.mark.parametrize("ahead", [31 * DAY, -31 * DAY])
def test_an_ingress_with_a_wrong_clock_takes_no_callback_for_an_old_one(
    redis_url: str, redis: Redis, tmp_path: Path, ahead: float
) -> None:
    stack = new_stack(tmp_path, redis_url=redis_url, worker_stages=((),))
    set_clock_ahead(stack.ingress, ahead)
    with stack.running():
        until(lambda: stack.ingress.logged("clock.skewed"), what="the first measurement", of=stack.programs)
        asyncio.run(post_all(stack.notify_url, bodies(1)))
        until(lambda: decisions(redis) or redis.exists("faceid:unverified"), what="a decision", of=stack.programs)
        (decision,) = decisions(redis)
    received = datetime.fromisoformat(decision["received_at"]).timestamp()
    assert abs(received - server_time(redis)) < LIMIT
