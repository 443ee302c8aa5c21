"""arq.

Settings: as many jobs at once as the run allows; five times as many are fetched at a time; results are neither kept nor
logged; uvloop.
"""

import sys
from collections.abc import Iterable
from typing import Any

import uvloop
from arq import create_pool, func
from arq.connections import RedisSettings

from tests.bench.work import IN_FLIGHT, REDIS_URL, AsyncHandler

TITLE = "arq"
PARTS = ("queue", "whole")
PINS = ("arq==0.28.0", "redis==5.3.1", "PyJWT==2.15.1")

uvloop.install()
handler = AsyncHandler()
LOGS = {"version": 1, "disable_existing_loggers": False, "loggers": {"arq": {"level": "WARNING"}}}


async def decide(_context: dict[str, Any], body: str) -> None:
    await handler.decide(body)


class Worker:
    functions = (func(decide, keep_result=0),)
    redis_settings = RedisSettings.from_dsn(REDIS_URL)
    max_jobs = IN_FLIGHT
    poll_delay = 0.01
    log_results = False


WORKER = [
    *(sys.executable, "-m", "arq", "tests.bench.peers.arq.Worker"),
    *("--custom-log-dict", "tests.bench.peers.arq.LOGS"),
]


async def send(bodies: Iterable[str]) -> None:
    pool = await create_pool(Worker.redis_settings)
    for body in bodies:
        await pool.enqueue_job("decide", body)
    await pool.aclose()
