"""The same work as one Celery task: verify, classify, and one result written to Redis. A peer to compare with."""

import os
from typing import Any

from celery import Celery
from redis import Redis

from deploy.local.stack import DEMO_SECRET
from shared.envelope import Envelope
from workers.classify import Evidence, classify
from workers.policy import Policy
from workers.verify import verify

URL = os.environ["BENCH_REDIS_URL"]
app = Celery("peer", broker=URL)
app.conf.update(task_ignore_result=True, worker_prefetch_multiplier=100, worker_hijack_root_logger=False)
policy = Policy.load()
redis: Any = Redis.from_url(URL)


@app.task  # type: ignore[untyped-decorator]  # Celery has no types
def decide(body: str) -> None:
    envelope = Envelope.arrived("default", "notify", "POST", body.encode(), "application/x-www-form-urlencoded", "", 0)
    verified = verify(envelope, [DEMO_SECRET])
    verdict = classify(Evidence(verified.callback, None, None, reconcile=False), policy)
    redis.rpush("peer.decisions", f"{verified.biz_id} {verdict.outcome}")
