"""FastStream in batches.

Settings: a list subscriber that takes a hundred messages at a time, which its documentation advises for high volumes;
their results are written at once. A batch is one task: where it fails or its worker dies, a hundred callbacks go with
it. So it is shown beside the others, which have a task for each callback, and not counted among them.
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
