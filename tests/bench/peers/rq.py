"""RQ.

Settings: `SimpleWorker`, which does not fork for each job: by RQ's notes on performance it is the fastest, and suitable
for jobs of a few milliseconds; JSON instead of pickle; no result kept.
"""

import sys
from collections.abc import Iterable
from itertools import islice

from redis import Redis
from rq import Queue
from rq.serializers import JSONSerializer

from tests.bench.work import REDIS_URL, SyncHandler

TITLE = "RQ"
PARTS = ("queue",)
PINS: tuple[str, ...] = ()

handler = SyncHandler()


def decide(body: str) -> None:
    handler.decide(body)


WORKER = [
    *(sys.executable, "-m", "rq.cli", "worker", "--url", REDIS_URL, "--worker-class", "rq.worker.SimpleWorker"),
    *("--serializer", "json", "--quiet", "--disable-job-desc-logging", "--results-ttl", "0"),
]


def send(bodies: Iterable[str]) -> None:
    queue = Queue(connection=Redis.from_url(REDIS_URL), serializer=JSONSerializer)
    waiting = iter(bodies)
    while some := list(islice(waiting, 500)):
        queue.enqueue_many([Queue.prepare_data(decide, args=(body,), result_ttl=0) for body in some])
