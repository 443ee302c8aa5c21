"""Celery.

Settings: its optimizing guide asks for a prefetch of 64 or 128 where tasks are many and short, and for results ignored
where nothing reads them. On one core its solo pool does more than a parent with one child (prefork) or threads; gossip,
mingle and heartbeats between workers are left out. It acknowledges a task before it runs, which is its default: a
worker that dies loses what it holds.
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
