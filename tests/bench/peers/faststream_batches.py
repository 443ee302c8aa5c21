"""FastStream in batches.

Settings: a list subscriber that takes 100 messages at a time, as its documentation recommends for high volumes. Their
results are written in one command. A batch is one task: if it fails or its worker dies, 100 callbacks are lost. So the
row is shown but not compared: the other peers have a task for each callback.
"""

import asyncio
import logging
import sys

import uvloop
from faststream import FastStream
from faststream.redis import ListSub, RedisBroker

from tests.bench.peers import faststream as singly
from tests.bench.work import REDIS_URL, AsyncHandler

TITLE = "FastStream, 100 callbacks in one task"
PARTS = ("batches",)
PINS: tuple[str, ...] = ()

broker = RedisBroker(REDIS_URL, logger=None)
app = FastStream(broker, logger=None)
handler = AsyncHandler()


async def decide(bodies: list[str]) -> None:
    await handler.decide_all(bodies)


broker.subscriber(list=ListSub(singly.QUEUE, batch=True, max_records=100, polling_interval=0.01))(decide)

send = singly.send
WORKER = [sys.executable, "-m", "tests.bench.peers.faststream_batches"]


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    uvloop.install()
    asyncio.run(app.run())
