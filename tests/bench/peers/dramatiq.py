"""Dramatiq.

Settings: one process for each core, as its guide recommends, with eight threads. One or two threads were slower.
A longer prefetch was not faster.
"""

import sys
from collections.abc import Iterable

import dramatiq
from dramatiq.brokers.redis import RedisBroker

from tests.bench.work import REDIS_URL, SyncHandler

TITLE = "Dramatiq"
PARTS = ("queue",)
PINS: tuple[str, ...] = ()

broker = RedisBroker(url=REDIS_URL)
dramatiq.set_broker(broker)
handler = SyncHandler()


def decide(body: str) -> None:
    handler.decide(body)


actor = dramatiq.actor(decide)

WORKER = [sys.executable, "-m", "dramatiq", "tests.bench.peers.dramatiq", "--processes", "1", "--threads", "8"]


def send(bodies: Iterable[str]) -> None:
    for body in bodies:
        broker.enqueue(actor.message(body))
