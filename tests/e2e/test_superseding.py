"""Revision 2 of a decision through real processes: by itself when the evidence comes late, and by an operator."""

import asyncio
import json
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pika
import pytest
from redis import Redis

from deploy.local.program import Program
from deploy.local.session_runner import SessionRunner
from deploy.local.sessions import Session
from deploy.local.stack import Stack
from deploy.simulator.model.faults import Faults, ResultFault
from shared.events.decision import decision_id
from tests.support.commands import Faceid
from tests.support.load import alerts, decisions
from tests.support.proxies import Proxy
from tests.support.queues import is_idle
from tests.support.redis_clients import open_redis
from tests.support.stacks import new_stack
from tests.support.waiting import until

pytestmark = pytest.mark.server
SETTINGS = {
    "FACEID_GETRESULT_BUDGET": "1",
    "FACEID_READ_SPACING_SECONDS": "0.1",
    "FACEID_LEASE_SECONDS": "1",
}
LONGEST_READ = "120"
"""Seconds: the test pauses the simulator, so the read may take as long as the machine needs."""
STRICT = 'version = "strict-2"\n[faces]\nmargin = 50\n'
WORKER = (sys.executable, "-m", "console.main", "worker")

StartWorker = Callable[..., Program]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Without workers: each test starts its own and has a case of its own."""
    folder = tmp_path_factory.mktemp("superseding")
    with new_stack(folder, worker_stages=(), settings=SETTINGS).running() as running:
        yield running


@pytest.fixture
def redis(stack: Stack) -> "Iterator[Redis]":
    with open_redis(stack.redis_url) as client:
        yield client


@pytest.fixture
def faceid(stack: Stack) -> Faceid:
    return Faceid(stack.env)


@pytest.fixture
def start_worker(stack: Stack, tmp_path: Path) -> Iterator[StartWorker]:
    """Start workers of the stack. They are stopped after the test."""
    started: list[Program] = []

    def start(name: str = "worker", **settings: str) -> Program:
        worker = Program(name, WORKER, stack.env | settings, tmp_path)
        worker.start()
        started.append(worker)
        until(lambda: worker.logged("worker.started"), what="the worker's start", of=[worker])
        return worker

    yield start
    for worker in started:
        worker.stop()


@pytest.fixture
def strict_policy(tmp_path: Path) -> str:
    """A policy by which nobody is approved."""
    path = tmp_path / "strict.toml"
    path.write_text(STRICT)
    return str(path)


def play(stack: Stack, *faults: ResultFault) -> str:
    """Play one verification that passes. Returns its biz_id."""

    async def played() -> str:
        session = Session("pass", "APPROVED", 1, faults=Faults(get_result=faults))
        (one,) = [played async for played in SessionRunner(stack).run([session])]
        return one.biz_id

    return asyncio.run(played())


def key(biz_id: str) -> str:
    return f"faceid:case:{{default}}:{biz_id}"


def wait_for_revision(redis: "Redis", biz_id: str, revision: int, *workers: Program) -> None:
    what = f"revision {revision}"
    until(lambda: len(decisions(redis, biz_id)) == revision, what=what, of=workers)
    until(lambda: is_idle(redis), what="the end of all work", of=workers)


def test_an_answer_that_comes_after_its_worker_lost_the_case_supersedes_the_decision_once(
    stack: Stack, redis: "Redis", faceid: Faceid, start_worker: StartWorker
) -> None:
    port, vendor_port = (urlsplit(url).port or 0 for url in (stack.redis_url, stack.simulator_url))
    biz_id = play(stack)
    stack.simulator.send(signal.SIGSTOP)  # no GetResult is answered until it goes on
    with Proxy(port) as proxy, Proxy(vendor_port) as vendor:
        cut_off = start_worker(
            "cut-off",
            FACEID_REDIS_URL=f"redis://127.0.0.1:{proxy.port}/0",
            FACEID_BASE_URL=f"http://127.0.0.1:{vendor.port}/faceid/lite",
            FACEID_GETRESULT_TIMEOUT_SECONDS=LONGEST_READ,
        )
        until(lambda: vendor.in_use, what="the call of GetResult", of=[cut_off])
        proxy.upstream = 9  # nobody listens there
        proxy.cut()
        redis.hset(key(biz_id), "read_until", 1)  # as if the read had taken longer than a read may take
        near = [start_worker(f"near-{number}") for number in range(2)]
        wait_for_revision(redis, biz_id, 1, cut_off, *near)
        stack.simulator.send(signal.SIGCONT)
        proxy.upstream = port
        wait_for_revision(redis, biz_id, 2, cut_off, *near)
        workers = (cut_off, *near)
        until(lambda: any(worker.logged("decision.superseded") for worker in workers), what="the log", of=workers)
        for worker in workers:
            worker.stop()

    first, second = decisions(redis, biz_id)
    assert (first["outcome"], first["reconciled"], first["revision"]) == ("REVIEW", False, 1)
    assert {reason["code"] for reason in first["reasons"]} >= {"NOT_RECONCILED"}
    assert (second["outcome"], second["reconciled"], second["revision"]) == ("APPROVED", True, 2)
    assert second["supersedes"] == decision_id("default", biz_id, 1)
    told = [alert for alert in alerts(redis) if alert.biz_id == biz_id and alert.kind == "decision_superseded"]
    assert [alert.detail for alert in told] == [
        {"old_outcome": "REVIEW", "new_outcome": "APPROVED", "revision": 2, "by": "faceid"}
    ]
    assert redis.hget(key(biz_id), "reads") == b"1"
    shown = faceid("case", biz_id)
    assert 'revision 2, decided again by faceid: "GetResult\'s answer came"' in shown.out


def test_a_case_is_decided_again_by_a_changed_policy(
    stack: Stack, redis: "Redis", faceid: Faceid, start_worker: StartWorker, strict_policy: str
) -> None:
    worker = start_worker()
    biz_id = play(stack)
    wait_for_revision(redis, biz_id, 1, worker)

    same = faceid("case", "redecide", biz_id, "--note", "just to see", "--yes")
    plan = faceid("case", "redecide", biz_id, "--note", "policy 2", "--plan", FACEID_POLICY=strict_policy)
    assert len(decisions(redis, biz_id)) == 1
    done = faceid(
        "case", "redecide", biz_id, "--note", "policy 2, ticket 17", "--yes", "--json", FACEID_POLICY=strict_policy
    )
    wait_for_revision(redis, biz_id, 2, worker)
    again = faceid("case", "redecide", biz_id, "--note", "again", "--yes", FACEID_POLICY=strict_policy)

    assert (same.code, "nothing was changed" in same.out) == (0, True)
    assert (plan.code, "policy strict-2" in plan.out, "APPROVED" in plan.out) == (0, True, True)
    (told,) = done.records
    assert (told["changes"], told["done"], told["before"]["outcome"]) == (True, True, "APPROVED")
    second = decisions(redis, biz_id)[1]
    assert (second["outcome"], second["revision"]) == (told["after"]["outcome"], 2)
    assert (second["policy"]["version"], second["supersedes"]) == ("strict-2", decision_id("default", biz_id, 1))
    assert told["event"] == decision_id("default", biz_id, 2)
    assert "nothing was changed" in again.out
    assert [alert.kind for alert in alerts(redis) if alert.biz_id == biz_id] == ["decision_superseded"]
    (case,) = faceid("case", biz_id, "--json").records
    assert (case["earlier"][0]["note"], case["earlier"][0]["decision"]["revision"]) == ("policy 2, ticket 17", 1)
    assert case["published"] == told["event"]


def test_a_case_that_can_not_be_decided_again_says_why(
    stack: Stack, redis: "Redis", faceid: Faceid, start_worker: StartWorker
) -> None:
    unknown = faceid("case", "redecide", "nobody", "--note", "x")
    unnoted = faceid("case", "redecide", "nobody", "--note", " ")
    redis.hset(key("open"), "opened_at", "1")
    undecided = faceid("case", "redecide", "open", "--note", "x")

    worker = start_worker()
    biz_id = play(stack)
    wait_for_revision(redis, biz_id, 1, worker)
    redis.hdel(key(biz_id), "callback", "raw")
    bare = faceid("case", "redecide", biz_id, "--note", "x", "--yes")

    assert (unknown.code, unnoted.code, undecided.code, bare.code) == (1, 2, 1, 1)
    assert "not decided yet" in undecided.err
    assert "Let the user verify again" in bare.err


def test_a_case_says_when_its_new_decision_is_not_published_yet(
    stack: Stack, redis: "Redis", faceid: Faceid, start_worker: StartWorker
) -> None:
    worker = start_worker()
    biz_id = play(stack, ResultFault(kind="data-destroyed"))
    wait_for_revision(redis, biz_id, 1, worker)
    worker.stop()
    redis.hset(key(biz_id), "raw", json.dumps({"status": "CANCELLED"}))

    assert faceid("case", "redecide", biz_id, "--note", "x", "--yes").code == 0
    waiting = faceid("case", biz_id, "--json").records[0]
    worker.start()
    wait_for_revision(redis, biz_id, 2, worker)
    sent = faceid("case", biz_id, "--json").records[0]

    assert (waiting["state"], waiting["published"]) == ("INCOMPLETE, not published", None)
    assert (sent["state"], sent["published"]) == ("INCOMPLETE, published", decision_id("default", biz_id, 2))


def test_on_rabbitmq_a_new_revision_is_routed_by_its_outcome(
    tmp_path: Path, rabbit_url: str, strict_policy: str
) -> None:
    with (
        new_stack(tmp_path / "stack", broker_url=rabbit_url, worker_stages=((),), settings=SETTINGS).running() as stack,
        pika.BlockingConnection(pika.URLParameters(rabbit_url)) as connection,
        open_redis(stack.redis_url) as ledger,
    ):
        channel = connection.channel()
        faceid = Faceid(stack.env)
        biz_id = play(stack)
        until(lambda: ledger.hexists(key(biz_id), "published"), what="the decision", of=stack.programs)
        note = ("--note", "policy 2", "--yes")
        assert faceid("case", "redecide", biz_id, *note, FACEID_POLICY=strict_policy).code == 0
        until(lambda: ledger.zcard("faceid:outbox") == 0, what="the new revision", of=stack.programs)
        got = [channel.basic_get("faceid.decisions", auto_ack=True) for _ in range(3)]
        told = [channel.basic_get("faceid.alerts", auto_ack=True) for _ in range(2)]

    events = [(method.routing_key, json.loads(body)["data"]["revision"]) for method, _, body in got if method]
    assert events[0] == ("decision.default.approved", 1)
    assert [revision for _, revision in events] == [1, 2]
    assert events[1][0] != events[0][0]
    assert [method.routing_key for method, _, _ in told if method] == ["alert.default.decision_superseded"]
