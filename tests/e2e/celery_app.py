"""A Celery application on the Streams transport; its server is named by the environment."""

import os

from celery import Celery

from tests.support.redis_clients import open_redis

app = Celery(
    "tests",
    broker_url=os.environ["STREAMS_TEST_URL"],
    broker_transport="shared.streams:Transport",
    broker_transport_options={"lease_seconds": 60},
    worker_prefetch_multiplier=8,
    task_acks_late=True,
)


@app.task  # type: ignore[untyped-decorator]  # Celery is untyped
def record(number: int) -> None:
    with open_redis(os.environ["STREAMS_TEST_URL"]) as redis:
        redis.rpush("recorded", number)


@app.task(bind=True, max_retries=1)  # type: ignore[untyped-decorator]  # Celery is untyped
def record_at_second_try(self, number: int) -> None:  # type: ignore[no-untyped-def]  # Celery's task has no type
    if not self.request.retries:
        raise self.retry(countdown=0.1)
    record(number)
