"""FastStream.

Settings: a list subscriber with as many workers as the run allows, one message at a time, so that a failure affects one
message; its logging off. Its documentation recommends batches for high volumes: `faststream_batches` measures them.
"""

import asyncio
import logging
import sys
from collections.abc import Iterable
from itertools import islice

import uvloop
from faststream import FastStream
from faststream.redis import ListSub, RedisBroker

from tests.bench.work import IN_FLIGHT, REDIS_URL, AsyncHandler

TITLE = "FastStream"
PARTS = ("queue", "whole")
PINS: tuple[str, ...] = ()
QUEUE = "bench:callbacks"

broker = RedisBroker(REDIS_URL, logger=None)
app = FastStream(broker, logger=None)
handler = AsyncHandler()


async def decide(body: str) -> None:
    await handler.decide(body)


broker.subscriber(list=ListSub(QUEUE, polling_interval=0.01), max_workers=IN_FLIGHT)(decide)

WORKER = [sys.executable, "-m", "tests.bench.peers.faststream"]


async def send(bodies: Iterable[str]) -> None:
    waiting = iter(bodies)
    async with broker:
        while some := list(islice(waiting, 500)):
            await broker.publish_batch(*some, list=QUEUE)


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    uvloop.install()
    asyncio.run(app.run())
