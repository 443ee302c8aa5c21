"""SAQ.

Settings: as many jobs at once as the run allows; no result kept (a negative time to live); uvloop, hiredis.
"""

import sys
from collections.abc import Iterable
from typing import Any

import uvloop
from saq import Queue

from tests.bench.work import IN_FLIGHT, REDIS_URL, AsyncHandler

TITLE = "SAQ"
PARTS = ("queue", "whole")
PINS = ("saq==0.26.4", "redis==7.4.1")

uvloop.install()
handler = AsyncHandler()
queue = Queue.from_url(REDIS_URL)


async def decide(_context: dict[str, Any], *, body: str) -> None:
    await handler.decide(body)


settings = {"queue": queue, "functions": [decide], "concurrency": IN_FLIGHT}
WORKER = [sys.executable, "-m", "saq", "tests.bench.peers.saq.settings"]


async def send(bodies: Iterable[str]) -> None:
    for body in bodies:
        await queue.enqueue("decide", body=body, ttl=-1, timeout=0)
    await queue.disconnect()
