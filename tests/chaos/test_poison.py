"""A message that kills its worker becomes a dead letter, and the other messages are decided all the same."""

import asyncio
import sys
from contextlib import closing
from pathlib import Path

import pytest

from deploy.local.program import Program
from deploy.local.stack import Stack
from shared.brokers.factory import open_publisher
from shared.ledger.message_set import MessageSet
from tests.support.biz_ids import ISSUED_AT
from tests.support.load import bodies, decisions, post_all, signed
from tests.support.redis_clients import open_redis
from tests.support.waiting import until

pytestmark = pytest.mark.server
LEASE = 1.0
NEIGHBOURS = 40
DEATHS = 5


@pytest.mark.parametrize("engine", ["streams", "rabbit"])
def test_a_message_that_kills_its_worker_is_dead_at_its_sixth_delivery_and_delays_no_other(
    engine: str, tmp_path: Path, redis_url: str, request: pytest.FixtureRequest
) -> None:
    broker_url = request.getfixturevalue("rabbit_url") if engine == "rabbit" else redis_url
    stack = Stack(
        tmp_path,
        redis_url=redis_url,
        broker_url=broker_url,
        results_url=redis_url,
        worker_stages=(),
        settings={"FACEID_RECONCILE": "never", "FACEID_LEASE_SECONDS": str(LEASE)},
    )
    killer = signed({"status": "OK", "biz_info": {"biz_id": f"{ISSUED_AT},killer", "biz_no": "1"}})
    load = bodies(NEIGHBOURS - 1)
    with stack.running(), open_redis(stack.redis_url) as redis:
        asyncio.run(post_all(stack.notify_url, [*load[: NEIGHBOURS // 2], killer, *load[NEIGHBOURS // 2 :]], at_once=1))
        command = (sys.executable, "-m", "tests.chaos.poisoned_worker", "worker")
        worker = Program("poisoned", command, stack.env, tmp_path)
        dead = MessageSet(redis, "faceid", "dead")
        decided_at_death: list[int] = []

        def is_dead_letter() -> bool:
            """Whether it is one by now; a worker that has died is started again."""
            if not worker.running:
                if worker.exit_code is not None:
                    decided_at_death.append(len(decisions(redis)))
                worker.start()
            return len(dead) > 0

        until(is_dead_letter, what="a dead letter")
        assert worker.stop() == 0

        (letter,) = list(dead)
        assert (letter.reason, letter.stage) == ("poison", "verify")
        assert len(decided_at_death) == DEATHS
        assert decided_at_death[2:] == [len(load)] * (DEATHS - 2), "all others were decided before the third death"
        assert len(decisions(redis)) == len(load)
        assert waiting(broker_url) == 0


def waiting(url: str) -> int:
    with closing(open_publisher(url, 5.0)) as publisher:
        return publisher.depths(["faceid.callbacks"])[0]
