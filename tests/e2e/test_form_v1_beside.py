"""Workers of the code that wrote form 1 run beside today's, each with half of the stages or all of them, under load.

Queued messages and cases pass from one to the other in both directions. A stored message passes from the old code to
today's alone: the old one can't read today's form, so this load makes none.
"""

import asyncio
import json
import sys
import tarfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from redis import Redis

from deploy.local.program import Program
from deploy.local.stack import Stack
from shared.ledger.message_set import MessageSet
from tests.support import form_v1
from tests.support.load import bodies, decisions, post_all
from tests.support.queues import is_idle
from tests.support.redis_clients import open_redis
from tests.support.stacks import new_stack
from tests.support.waiting import until

pytestmark = [pytest.mark.server, pytest.mark.slow]
COUNT = 300
EACH = ("clean-pass", "liveness-fail")
OLD_WORKER = """
import json, sys
import shared
from shared.logs import configure
from shared.settings import load_settings
from workers.worker import run

assert shared.__file__.startswith(sys.argv[2]), "the old code runs"
configure("worker")
sys.exit(run(load_settings(), json.loads(sys.argv[1])))
"""
STAGES = ("verify", "reconcile", "classify", "publish")
HALVES = [(("verify", "classify"), ("reconcile", "publish")), (("reconcile", "publish"), ("verify", "classify"))]


@pytest.fixture(scope="module")
def old_code(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the packages of the code that wrote form 1."""
    folder = tmp_path_factory.mktemp("form-v1")
    with tarfile.open(form_v1.CODE) as archive:
        archive.extractall(folder, filter="data")
    return folder


@pytest.fixture
def stack(tmp_path: Path, redis_url: str) -> Iterator[Stack]:
    settings = {"FACEID_RECONCILE": "never", "FACEID_LEASE_SECONDS": "30"}
    with new_stack(tmp_path / "stack", redis_url=redis_url, worker_stages=(), settings=settings).running() as running:
        yield running


@pytest.fixture
def redis(stack: Stack) -> "Iterator[Redis]":
    with open_redis(stack.redis_url) as client:
        yield client


def old_worker(stack: Stack, code: Path, folder: Path, stages: Sequence[str]) -> Program:
    command = (sys.executable, "-P", "-c", OLD_WORKER, json.dumps(list(stages)), str(code))
    return Program(f"old-{'-'.join(stages)}", command, stack.env | {"PYTHONPATH": str(code)}, folder)


def new_worker(stack: Stack, folder: Path, stages: Sequence[str]) -> Program:
    return Program(
        f"new-{'-'.join(stages)}", (sys.executable, "-m", "console.main", "worker", *stages), stack.env, folder
    )


@pytest.mark.parametrize(("old", "new"), [(STAGES, STAGES), *HALVES])
def test_old_and_new_workers_decide_every_callback_once(
    stack: Stack, redis: "Redis", old_code: Path, tmp_path: Path, old: Sequence[str], new: Sequence[str]
) -> None:
    workers = [
        worker
        for number in (1, 2)
        for worker in (
            old_worker(stack, old_code, _folder(tmp_path, number), old),
            new_worker(stack, _folder(tmp_path, number), new),
        )
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        until(lambda worker=worker: worker.logged("worker.started"), of=[worker])  # type: ignore[misc]
    load = bodies(COUNT, EACH)
    asyncio.run(post_all(stack.notify_url, load))
    asyncio.run(post_all(stack.return_url, load))
    until(lambda: len(decisions(redis)) >= COUNT, what="every decision", of=workers)
    until(lambda: is_idle(redis), what="the end of all work", of=workers)

    assert [worker.stop() for worker in workers] == [0] * len(workers)
    made = decisions(redis)
    assert set(Counter(decision["biz_id"] for decision in made).values()) == {1}
    assert len(made) == COUNT
    assert list(MessageSet(redis, "faceid", "dead")) == []
    settled = {worker.name for worker in workers if worker.logged("attempt.settled")}
    assert len(settled) == len({worker.name for worker in workers}), "each version has had a part"


def _folder(tmp_path: Path, number: int) -> Path:
    folder = tmp_path / str(number)
    folder.mkdir(exist_ok=True)
    return folder
