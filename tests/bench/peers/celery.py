"""Celery.

Settings: its optimizing guide recommends a prefetch of 64 or 128 for many short tasks, and ignored results. On one core
its solo pool is faster than prefork with one child or threads. Gossip, mingle and heartbeats are off. It acknowledges a
task before it runs (the default), so a worker that dies loses its tasks.
"""

import sys
from collections.abc import Iterable

from celery import Celery

from tests.bench.work import REDIS_URL, SyncHandler

TITLE = "Celery"
PARTS = ("queue",)
PINS: tuple[str, ...] = ()

app = Celery("peer", broker=REDIS_URL)
app.conf.update(task_ignore_result=True, worker_prefetch_multiplier=128, worker_hijack_root_logger=False)
handler = SyncHandler()


def decide(body: str) -> None:
    handler.decide(body)


task = app.task(name="decide")(decide)

WORKER = [
    *(sys.executable, "-m", "celery", "-A", "tests.bench.peers.celery", "worker", "-l", "warning"),
    *("--pool", "solo", "--without-gossip", "--without-mingle", "--without-heartbeat"),
]


def send(bodies: Iterable[str]) -> None:
    with app.producer_pool.acquire() as producer:
        for body in bodies:
            task.apply_async((body,), producer=producer)
