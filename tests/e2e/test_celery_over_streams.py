"""Celery itself runs over the Streams transport."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import pytest

from tests.support.redis_clients import open_redis

pytestmark = pytest.mark.server


@pytest.fixture
def worker(redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[subprocess.Popen[bytes]]:
    monkeypatch.setenv("STREAMS_TEST_URL", redis_url)
    command = [sys.executable, "-m", "celery", "--app", "tests.e2e.celery_app", "worker", "--concurrency", "2"]
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen([*command, "--loglevel", "WARNING"], stdout=log, stderr=log, env=os.environ)
        yield process
        process.terminate()
        assert process.wait(timeout=20) == 0, (tmp_path / "log").read_text()
    assert "Traceback" not in (tmp_path / "log").read_text()


def test_a_celery_worker_runs_every_task_once(worker: subprocess.Popen[bytes], redis_url: str) -> None:
    from tests.e2e.celery_app import record, record_at_second_try

    for number in range(300):
        (record_at_second_try if number % 30 == 0 else record).delay(number)
    with open_redis(redis_url) as redis:
        deadline = monotonic() + 40
        while redis.xlen("celery") and monotonic() < deadline:
            assert worker.poll() is None, "the worker ended"
            sleep(0.05)
        recorded: Any = redis.lrange("recorded", 0, -1)
        assert sorted(int(number) for number in recorded) == list(range(300))
        assert redis.xlen("celery") == 0
