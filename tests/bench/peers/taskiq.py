"""taskiq.

Settings: the stream broker, which acknowledges finished tasks and reads 100 at a time; messages prefetched
and as many tasks at once as the run allows; no result backend; arguments not cast; uvloop, taken if it is there.
"""

import sys
from collections.abc import Iterable

from taskiq_redis import RedisStreamBroker

from tests.bench.work import IN_FLIGHT, REDIS_URL, AsyncHandler

TITLE = "taskiq"
PARTS = ("queue", "whole")
PINS: tuple[str, ...] = ()

broker = RedisStreamBroker(REDIS_URL, consumer_id="0")
handler = AsyncHandler()


async def decide(body: str) -> None:
    await handler.decide(body)


task = broker.task(task_name="decide")(decide)

WORKER = [
    *(sys.executable, "-m", "taskiq", "worker", "tests.bench.peers.taskiq:broker", "--workers", "1"),
    *("--log-level", "WARNING", "--max-async-tasks", str(IN_FLIGHT), "--max-prefetch", "100", "--no-parse"),
]


async def send(bodies: Iterable[str]) -> None:
    await broker.startup()
    for body in bodies:
        await task.kiq(body)
    await broker.shutdown()
