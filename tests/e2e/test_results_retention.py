"""Results that every worker keeps for as long as the settings say, and no longer."""

from pathlib import Path

import pytest
from redis import Redis

from deploy.local.stack import Stack
from tests.support.waiting import until

pytestmark = pytest.mark.server


def test_a_worker_trims_the_results_of_whatever_redis_they_are_on(
    redis_url: str, fake_redis_url: str, tmp_path: Path
) -> None:
    settings = {"FACEID_RECONCILE": "never", "FACEID_RETENTION_DAYS": "1", "FACEID_RESULTS_URL": fake_redis_url}
    with Redis.from_url(fake_redis_url) as results:
        results.xadd("faceid.decisions", {"body": "of 1970"}, id="1-0")
        results.xadd("faceid.decisions", {"body": "of now"})
        stack = Stack(tmp_path, redis_url=redis_url, worker_stages=(("publish",),), settings=settings)
        with stack.running():
            until(lambda: results.xlen("faceid.decisions") == 1)
            assert stack.workers[0].logged("results.expired")
