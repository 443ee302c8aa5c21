"""Real processes and a Redis that becomes full: what is answered 200 is decided, and nobody has to help.

`FULL_REDIS_MB=60 FULL_REDIS_CALLBACKS=30000` runs it at the size that a small installation has.
"""

import asyncio
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

import pytest
from redis import Redis

from deploy.local.stack import Stack
from tests.support.load import bodies, post_all
from tests.support.queues import is_idle, queues_of
from tests.support.redis_clients import open_redis
from tests.support.stacks import limited_redis, new_stack
from tests.support.waiting import until

pytestmark = pytest.mark.server

LIMIT_MB: Final = float(os.environ.get("FULL_REDIS_MB", "8"))
CALLBACKS: Final = int(os.environ.get("FULL_REDIS_CALLBACKS", "4000"))
"""With workers stopped these would fill the server: a waiting callback takes 1.6 kB."""


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    """One worker, and a Redis with little memory."""
    with small(tmp_path) as made:
        yield made


@contextmanager
def small(folder: Path, broker_url: str = "") -> Iterator[Stack]:
    with limited_redis(folder / "redis", int(LIMIT_MB * 1_000_000)) as redis_url:
        made = new_stack(folder / "stack", redis_url=redis_url, worker_stages=((),), broker_url=broker_url)
        with made.running():
            yield made


def offer(stack: Stack, first: int) -> Counter[int]:
    """Post callbacks as fast as they are answered."""
    statuses: Counter[int] = Counter()
    for start in range(first, first + CALLBACKS, 500):
        statuses += asyncio.run(post_all(stack.notify_url, bodies(500, first=start)))
    return statuses


def decided(redis: "Redis") -> int:
    return int(redis.xlen("faceid.decisions"))


def test_callbacks_that_are_answered_200_by_a_small_redis_are_all_decided(stack: Stack) -> None:
    worker = stack.workers[0]
    with open_redis(stack.redis_url) as redis:
        worker.stop()
        waiting = offer(stack, first=1)
        worker.start()
        until(
            lambda: decided(redis) == waiting[200] and is_idle(redis),
            what=f"{waiting[200]} decisions",
            of=stack.programs,
        )
        working = offer(stack, first=1 + CALLBACKS)
        stored = waiting[200] + working[200]
        until(lambda: decided(redis) == stored and is_idle(redis), what=f"{stored} decisions", of=stack.programs)
        used = redis.info("memory")["used_memory"]
        dead = redis.zcard("faceid:dead")

    log = worker.log_file.stat().st_size
    print(f"{LIMIT_MB:g} MB, {2 * CALLBACKS} offered: {dict(waiting + working)}, used {used:,}, log {log:,} bytes")
    assert set(waiting + working) == {200, 503}
    assert used < LIMIT_MB * 1_000_000
    assert dead == 0


def lines(stack: Stack, event: str) -> int:
    """How many lines with this event the worker has logged."""
    return stack.workers[0].log_file.read_text().count(f'"event":"{event}"')


def test_workers_pause_while_redis_is_full_and_go_on_by_themselves(stack: Stack) -> None:
    worker = stack.workers[0]
    with open_redis(stack.redis_url) as redis:
        worker.stop()
        count = asyncio.run(post_all(stack.notify_url, bodies(500)))[200]
        redis.config_set("maxmemory", int(redis.info("memory")["used_memory"]) // 2)
        worker.start()
        until(lambda: lines(stack, "ledger.full") >= 4, what="four pauses", of=stack.programs)
        refused, attempts = lines(stack, "ledger.unavailable"), lines(stack, "attempt.settled")
        redis.config_set("maxmemory", 0)
        until(lambda: decided(redis) == count and is_idle(redis), what=f"{count} decisions", of=stack.programs)
        dead = redis.zcard("faceid:dead")

    print(f"{count} callbacks, four pauses: {refused} lines of refused attempts, {attempts} of others")
    assert (refused, attempts, dead) == (0, 0, 0)


def test_on_rabbitmq_the_memory_of_the_ledgers_redis_limits_what_is_accepted(tmp_path: Path, rabbit_url: str) -> None:
    with (
        small(tmp_path, rabbit_url) as stack,
        open_redis(stack.redis_url) as redis,
        closing(queues_of(stack)) as queues,
    ):
        worker = stack.workers[0]
        worker.stop()
        statuses = offer(stack, first=1)
        redis.config_set("maxmemory", int(redis.info("memory")["used_memory"]) // 2)
        worker.start()
        until(lambda: lines(stack, "broker.unavailable"), what="a refused write", of=stack.programs)
        redis.config_set("maxmemory", 0)
        until(
            lambda: len(queues.decisions()) >= statuses[200] and queues.empty() and is_idle(redis),
            what=f"{statuses[200]} decisions",
            of=stack.programs,
        )
        made, dead = {decision["biz_id"] for decision in queues.decisions()}, redis.zcard("faceid:dead")

    print(f"{LIMIT_MB:g} MB, {CALLBACKS} offered on RabbitMQ: {dict(statuses)}")
    assert set(statuses) == {200, 503}
    assert (len(made), dead) == (statuses[200], 0)
