"""Revision 2 through real processes: by itself when the evidence comes late, and by hand."""

import asyncio
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pika
import pytest
from redis import Redis

from deploy.local.player import Player
from deploy.local.ports import free_port
from deploy.local.program import Program
from deploy.local.sessions import Session
from deploy.local.stack import Stack
from deploy.simulator.model.faults import Faults, ResultFault
from shared.events.decision import decision_id
from tests.support.commands import Faceid
from tests.support.load import decisions
from tests.support.proxies import Proxy
from tests.support.waiting import until

pytestmark = pytest.mark.server
SETTINGS = {
    "FACEID_GETRESULT_BUDGET": "1",
    "FACEID_GETRESULT_TIMEOUT_SECONDS": "1",
    "FACEID_READ_SPACING_SECONDS": "0.1",
    "FACEID_LEASE_SECONDS": "1",
}
STRICT = 'version = "strict-2"\n[faces]\nmargin = 50\n'
WORKER = (sys.executable, "-m", "console.main", "worker")


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    """Without workers: each test starts its own."""
    with Stack(tmp_path / "stack", worker_stages=(), settings=SETTINGS).running() as running:
        yield running


@pytest.fixture
def redis(stack: Stack) -> "Iterator[Redis]":
    with Redis.from_url(stack.redis_url) as client:
        yield client


@pytest.fixture
def faceid(stack: Stack) -> Faceid:
    return Faceid({name: value for name, value in stack.env.items() if name.startswith("FACEID_")})


def worker(stack: Stack, name: str, **settings: str) -> Program:
    one = Program(name, WORKER, stack.env | settings, stack.folder)
    one.start()
    one.wait(lambda: one.logged("worker.started"))
    return one


async def play(stack: Stack, *faults: ResultFault) -> str:
    """One verification that passes; its biz_id."""
    session = Session("pass", "APPROVED", 1, faults=Faults(get_result=faults))
    (played,) = [played async for played in Player(stack).play([session])]
    return played.biz_id


def key(biz_id: str) -> str:
    return f"faceid:case:{{default}}:{biz_id}"


def idle(redis: "Redis") -> bool:
    with redis.pipeline(transaction=True) as pipe:
        for stage in ("callbacks", "verified", "reconciled", "decided"):
            pipe.xlen(f"faceid.{stage}")
        pipe.zcard("faceid:delayed")
        pipe.zcard("faceid:outbox")
        return not any(pipe.execute())


def alerts(redis: "Redis") -> list[dict[str, Any]]:
    return decisions(redis, "faceid.alerts")


def test_an_answer_that_lands_when_its_worker_was_taken_for_dead_supersedes_the_decision_once(
    stack: Stack, redis: "Redis", faceid: Faceid
) -> None:
    port = int(stack.redis_url.rpartition(":")[2].partition("/")[0])
    with Proxy(port) as proxy:
        cut_off = worker(stack, "cut-off", FACEID_REDIS_URL=f"redis://127.0.0.1:{proxy.port}/0")
        biz_id = asyncio.run(play(stack, ResultFault(kind="slow", delay_ms=600)))
        until(lambda: redis.hexists(key(biz_id), "read_id"), what="the read")
        proxy.upstream = free_port()
        proxy.cut()
        near = [worker(stack, f"near-{number}") for number in range(2)]
        until(lambda: len(decisions(redis)) == 1, what="the decision without an answer")
        proxy.upstream = port
        until(lambda: len(decisions(redis)) == 2, what="the decision on the answer")
        until(lambda: idle(redis), what="the end of all work")
        for one in (cut_off, *near):
            one.stop()

    first, second = decisions(redis)
    assert (first["outcome"], first["reconciled"], first["revision"]) == ("REVIEW", False, 1)
    assert {reason["code"] for reason in first["reasons"]} >= {"NOT_RECONCILED"}
    assert (second["outcome"], second["reconciled"], second["revision"]) == ("APPROVED", True, 2)
    assert second["supersedes"] == decision_id("default", biz_id, 1)
    told = [alert for alert in alerts(redis) if alert["kind"] == "decision_superseded"]
    assert [alert["detail"] for alert in told] == [
        {"old_outcome": "REVIEW", "new_outcome": "APPROVED", "revision": 2, "by": "faceid"}
    ]
    assert redis.hget(key(biz_id), "reads") == b"1"
    assert any(one.logged("decision.superseded") for one in (cut_off, *near))
    shown = faceid("case", biz_id)
    assert 'revision 2, decided again by faceid: "GetResult\'s answer came"' in shown.out


def test_a_case_is_decided_again_by_a_changed_policy(
    stack: Stack, redis: "Redis", faceid: Faceid, tmp_path: Path
) -> None:
    strict = tmp_path / "strict.toml"
    strict.write_text(STRICT)
    one = worker(stack, "worker")
    biz_id = asyncio.run(play(stack))
    until(lambda: len(decisions(redis)) == 1, what="the decision")

    same = faceid("case", "redecide", biz_id, "--note", "just to see", "--yes")
    plan = faceid("case", "redecide", biz_id, "--note", "policy 2", "--plan", FACEID_POLICY=str(strict))
    assert len(decisions(redis)) == 1
    done = faceid(
        "case", "redecide", biz_id, "--note", "policy 2, ticket 17", "--yes", "--json", FACEID_POLICY=str(strict)
    )
    until(lambda: len(decisions(redis)) == 2, what="the new decision")
    until(lambda: idle(redis), what="the end of all work")
    again = faceid("case", "redecide", biz_id, "--note", "again", "--yes", FACEID_POLICY=str(strict))
    one.stop()

    assert (same.code, "nothing was changed" in same.out) == (0, True)
    assert (plan.code, "policy strict-2" in plan.out, "APPROVED" in plan.out) == (0, True, True)
    (told,) = done.records
    assert (told["changes"], told["done"], told["before"]["outcome"]) == (True, True, "APPROVED")
    second = decisions(redis)[1]
    assert (second["outcome"], second["revision"]) == (told["after"]["outcome"], 2)
    assert (second["policy"]["version"], second["supersedes"]) == ("strict-2", decision_id("default", biz_id, 1))
    assert told["event"] == decision_id("default", biz_id, 2)
    assert "nothing was changed" in again.out
    assert [alert["kind"] for alert in alerts(redis)] == ["decision_superseded"]
    (life,) = faceid("case", biz_id, "--json").records
    assert (life["earlier"][0]["note"], life["earlier"][0]["decision"]["revision"]) == ("policy 2, ticket 17", 1)
    assert life["published"] == told["event"]


def test_what_can_not_be_decided_again_says_why(stack: Stack, redis: "Redis", faceid: Faceid) -> None:
    unknown = faceid("case", "redecide", "nobody", "--note", "x")
    unnoted = faceid("case", "redecide", "nobody", "--note", " ")
    redis.hset(key("open"), "opened_at", "1")
    undecided = faceid("case", "redecide", "open", "--note", "x")

    one = worker(stack, "worker")
    biz_id = asyncio.run(play(stack))
    until(lambda: len(decisions(redis)) == 1, what="the decision")
    one.stop()
    redis.hdel(key(biz_id), "callback", "raw")
    bare = faceid("case", "redecide", biz_id, "--note", "x", "--yes")

    assert (unknown.code, unnoted.code, undecided.code, bare.code) == (3, 2, 1, 1)
    assert "not decided yet" in undecided.err
    assert "Let the user verify again" in bare.err


def test_a_decision_that_no_worker_has_published_yet_says_so(stack: Stack, redis: "Redis", faceid: Faceid) -> None:
    one = worker(stack, "worker")
    biz_id = asyncio.run(play(stack, ResultFault(kind="data-destroyed")))
    until(lambda: len(decisions(redis)) == 1, what="the decision")
    until(lambda: idle(redis), what="the end of all work")
    one.stop()
    redis.hset(key(biz_id), "raw", json.dumps({"status": "CANCELLED"}))

    assert faceid("case", "redecide", biz_id, "--note", "x", "--yes").code == 0
    waiting = faceid("case", biz_id, "--json").records[0]
    one.start()
    until(lambda: len(decisions(redis)) == 2, what="the new decision")
    sent = faceid("case", biz_id, "--json").records[0]
    one.stop()

    assert (waiting["state"], waiting["published"]) == ("INCOMPLETE, not published", None)
    assert (sent["state"], sent["published"]) == ("INCOMPLETE, published", decision_id("default", biz_id, 2))


def test_with_queues_and_results_on_rabbitmq_a_new_revision_is_routed_by_its_outcome(
    tmp_path: Path, rabbit_url: str
) -> None:
    strict = tmp_path / "strict.toml"
    strict.write_text(STRICT)
    with (
        Stack(tmp_path / "stack", broker_url=rabbit_url, worker_stages=((),), settings=SETTINGS).running() as stack,
        pika.BlockingConnection(pika.URLParameters(rabbit_url)) as connection,
        Redis.from_url(stack.redis_url) as ledger,
    ):
        channel = connection.channel()
        faceid = Faceid({name: value for name, value in stack.env.items() if name.startswith("FACEID_")})
        biz_id = asyncio.run(play(stack))
        until(lambda: ledger.hexists(key(biz_id), "published"), what="the decision")
        note = ("--note", "policy 2", "--yes")
        assert faceid("case", "redecide", biz_id, *note, FACEID_POLICY=str(strict)).code == 0
        until(lambda: ledger.zcard("faceid:outbox") == 0, what="the new revision")
        got = [channel.basic_get("faceid.decisions", auto_ack=True) for _ in range(3)]
        told = [channel.basic_get("faceid.alerts", auto_ack=True) for _ in range(2)]

    events = [(method.routing_key, json.loads(body)["data"]["revision"]) for method, _, body in got if method]
    assert events[0] == ("decision.default.approved", 1)
    assert [revision for _, revision in events] == [1, 2]
    assert events[1][0] != events[0][0]
    assert [method.routing_key for method, _, _ in told if method] == ["alert.default.decision_superseded"]
