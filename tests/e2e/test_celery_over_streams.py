"""Celery itself runs over the Streams transport."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deploy.local.program import Program
from tests.support.redis_clients import open_redis
from tests.support.waiting import until

pytestmark = pytest.mark.server
TASKS = 150


@pytest.fixture
def worker(redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Program]:
    monkeypatch.setenv("STREAMS_TEST_URL", redis_url)
    command = [sys.executable, "-m", "celery", "--app", "tests.e2e.celery_app", "worker", "--concurrency", "2"]
    worker = Program("celery", [*command, "--loglevel", "WARNING"], os.environ, tmp_path)
    worker.start()
    yield worker
    assert worker.stop(90) == 0, worker.log_file.read_text()
    assert not worker.logged("Traceback")


def test_a_celery_worker_runs_every_task_once(worker: Program, redis_url: str) -> None:
    from tests.e2e.celery_app import record, record_at_second_try

    for number in range(TASKS):
        (record_at_second_try if number % 30 == 0 else record).delay(number)
    with open_redis(redis_url) as redis:
        until(lambda: redis.llen("recorded") >= TASKS and redis.xlen("celery") == 0, what="the last task", of=[worker])
        recorded: Any = redis.lrange("recorded", 0, -1)
        assert sorted(int(number) for number in recorded) == list(range(TASKS))
