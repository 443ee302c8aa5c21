"""A message that kills whoever works on it: it ends among the dead letters, and takes nobody with it."""

import asyncio
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any, cast

import pytest
from redis import Redis

from deploy.local.program import Program
from deploy.local.stack import Stack
from shared.brokers.factory import open_publisher
from shared.ledger.message_set import MessageSet
from tests.support.load import bodies, decisions, post_all, signed

pytestmark = pytest.mark.server
LEASE = 1.5
START = 15.0
"""Seconds that a worker may take to start on a busy machine."""


@pytest.mark.parametrize("engine", ["streams", "rabbit"])
def test_a_message_that_kills_its_worker_is_dead_at_its_sixth_delivery_and_delays_nobody(
    engine: str, tmp_path: Path, redis_url: str, request: pytest.FixtureRequest
) -> None:
    broker_url = request.getfixturevalue("rabbit_url") if engine == "rabbit" else redis_url
    settings = {"FACEID_RECONCILE": "never", "FACEID_LEASE_SECONDS": str(LEASE)}
    stack = Stack(
        tmp_path,
        redis_url=redis_url,
        broker_url=broker_url,
        results_url=redis_url,  # where they are looked at
        worker_stages=(),
        settings=settings,
    )
    killer = signed({"status": "OK", "biz_info": {"biz_id": "1462259748,killer", "biz_no": "1"}})
    load = bodies(99)
    with stack.running():
        redis = Redis.from_url(stack.redis_url)
        asyncio.run(post_all(stack.notify_url, [*load[:50], killer, *load[50:]], at_once=1))
        worker = Program(
            "poisoned", (sys.executable, "-m", "tests.chaos.poisoned_worker", "worker"), stack.env, tmp_path
        )
        deaths: list[float] = []
        dead = MessageSet(redis, "faceid", "dead")
        end = time.monotonic() + 60
        while len(dead) == 0 and time.monotonic() < end:
            if not worker.running:
                if worker.exit_code is not None:
                    deaths.append(time.time())
                worker.start()
            time.sleep(0.02)
        code = worker.stop()

        (letter,) = list(dead)
        newest = cast("list[tuple[bytes, Any]]", redis.xrevrange("faceid.decisions", count=1))
        decided_at = int(newest[0][0].partition(b"-")[0]) / 1000
        print(
            f"{len(deaths)} workers died; the others were decided {decided_at - deaths[0]:.1f} s after the first death"
        )
        assert (letter.reason, letter.stage, code) == ("poison", "verify", 0)
        assert len(deaths) == 5
        assert len(decisions(redis)) == len(load)
        assert decided_at < deaths[2], "the neighbours waited for more than one lease"
        assert decided_at - deaths[0] < LEASE + 2 * START
        assert waiting(broker_url) == 0


def waiting(url: str) -> int:
    with closing(open_publisher(url, 5.0)) as publisher:
        return publisher.depths(["faceid.callbacks"])[0]
