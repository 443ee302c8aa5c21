"""A worker removes results that are older than the retention."""

from pathlib import Path

import pytest

from tests.support.redis_clients import open_redis
from tests.support.stacks import new_stack
from tests.support.waiting import until

pytestmark = pytest.mark.server


def test_a_worker_trims_the_results_on_another_redis_than_the_ledgers(redis_url: str, tmp_path: Path) -> None:
    settings = {"FACEID_RECONCILE": "never", "FACEID_RETENTION_DAYS": "1"}
    with open_redis(redis_url) as results:
        results.xadd("faceid.decisions", {"body": "of 1970"}, id="1-0")
        results.xadd("faceid.decisions", {"body": "of now"})
        stack = new_stack(tmp_path, results_url=redis_url, worker_stages=(("publish",),), settings=settings)
        with stack.running():
            (worker,) = stack.workers
            until(lambda: worker.logged("results.expired"), what="the trimming", of=stack.programs)
            assert results.xlen("faceid.decisions") == 1
