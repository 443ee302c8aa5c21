"""`faceid results resend`: decisions from the ledger once more, byte for byte, on whatever broker the results are."""

import asyncio
import os
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pika
import pytest
from redis import Redis

from deploy.local.ports import free_port
from shared.events.cloudevent import to_event
from shared.events.decision import Decision
from shared.ledger.case_key import CaseKey, case_key
from tests.support.biz_ids import biz_id
from tests.support.commands import Faceid
from tests.support.decisions import dumped, made_on, on_answer
from tests.support.load import bodies, post_all
from tests.support.redis_clients import open_redis
from tests.support.stacks import new_stack
from tests.support.waiting import until

pytestmark = pytest.mark.server
APPROVED, REJECTED = made_on(on_answer()), made_on(on_answer("liveness-fail"))


@pytest.fixture
def redis(redis_url: str) -> "Iterator[Redis]":
    with open_redis(redis_url) as client:
        yield client


@pytest.fixture
def faceid(redis_url: str) -> Faceid:
    return Faceid({"FACEID_REDIS_URL": redis_url})


def decide(redis: "Redis", count: int, like: Decision = APPROVED, first: int = 1) -> list[Decision]:
    """Published decisions of cases of their own."""
    made = [Decision.model_validate(dict(like) | {"biz_id": biz_id(n)}) for n in range(first, first + count)]
    with redis.pipeline(transaction=False) as pipe:
        for decision in made:
            key = case_key("faceid", CaseKey("default", decision.biz_id))
            pipe.hset(key, mapping={"decision": dumped(decision), "published": decision.id})
        pipe.execute()
    return made


def events(redis: "Redis") -> list[bytes]:
    entries = cast("list[tuple[bytes, dict[bytes, bytes]]]", redis.xrange("faceid.decisions"))
    return [fields[b"body"] for _, fields in entries]


def test_what_the_workers_have_published_is_resent_byte_for_byte(tmp_path: Path) -> None:
    names = ("clean-pass", "liveness-fail", "cancelled", "data-source-error")
    settings = {"FACEID_RECONCILE": "never"}
    with new_stack(tmp_path / "stack", worker_stages=((),), settings=settings).running() as stack:
        resend = Faceid(stack.env)
        with open_redis(stack.redis_url) as client:
            asyncio.run(post_all(stack.notify_url, bodies(8, names)))
            until(lambda: len(events(client)) == 8, what="every decision", of=stack.programs)
            alerts = client.xlen("faceid.alerts")
            ran = resend("results", "resend", "--all", "--json")
            assert set(Counter(events(client)).values()) == {2}
            assert client.xlen("faceid.alerts") == alerts
    assert (ran.code, ran.records[0]["sent"]) == (0, 8)


def test_a_plan_counts_and_publishes_nothing(redis: "Redis", faceid: Faceid) -> None:
    decide(redis, 30)
    decide(redis, 10, REJECTED, first=100)
    plan = faceid("results", "resend", "--all", "--plan", "--rate", "2/s")
    assert plan.code == 0
    assert [line.split() for line in plan.out.splitlines()[:2]] == [["30", "APPROVED"], ["10", "REJECTED"]]
    assert "40  decisions would be resent, in about 20s; nothing was changed" in plan.out
    assert events(redis) == []


def test_decisions_are_resent_by_id_by_case_and_by_outcome(redis: "Redis", faceid: Faceid) -> None:
    approved, rejected = decide(redis, 3), decide(redis, 2, REJECTED, first=100)
    assert faceid("results", "resend", approved[0].id).code == 0
    assert faceid("results", "resend", "--biz-id", approved[1].biz_id, "--biz-id", rejected[0].biz_id).code == 0
    assert faceid("results", "resend", "--outcome", "REJECTED").code == 0
    sent = [to_event(one) for one in (approved[0], approved[1], rejected[0], *rejected)]
    assert sorted(events(redis)) == sorted(sent)


def test_what_is_not_found_is_named_and_the_rest_is_resent(redis: "Redis", faceid: Faceid) -> None:
    (decision,) = decide(redis, 1)
    redis.hset("faceid:case:{default}:open", "opened_at", "1")
    ran = faceid("results", "resend", "--biz-id", decision.biz_id, "--biz-id", "open", "--biz-id", "nobody", "--json")
    assert (ran.code, ran.records[0]["missing"], ran.records[0]["sent"]) == (1, ["open", "nobody"], 1)
    assert "2 not found among the selected decisions" in ran.err
    assert len(events(redis)) == 1


def test_nothing_is_resent_by_leaving_something_out(redis: "Redis", faceid: Faceid) -> None:
    decide(redis, 1)
    assert faceid("results", "resend").code == 2
    assert faceid("results", "resend", "--all", "--outcome", "APPROVED").code == 2
    assert faceid("results", "resend", "--since", "yesterday").code == 2
    assert events(redis) == []


def test_a_broker_that_is_away_is_said(redis: "Redis", faceid: Faceid) -> None:
    decide(redis, 1)
    ran = faceid("results", "resend", "--all", FACEID_RESULTS_URL=f"redis://127.0.0.1:{free_port()}/0")
    assert ran.code == 3
    assert "Stopped after 0." in ran.err
    assert "did not store the messages" in ran.err


def test_on_rabbitmq_decisions_are_resent_with_what_they_are_routed_by(
    redis: "Redis", faceid: Faceid, rabbit_url: str
) -> None:
    made = decide(redis, 3) + decide(redis, 2, REJECTED, first=100)
    ran = faceid("results", "resend", "--all", FACEID_RESULTS_URL=rabbit_url)
    assert ran.code == 0
    with pika.BlockingConnection(pika.URLParameters(rabbit_url)) as connection:
        channel = connection.channel()
        got = [channel.basic_get("faceid.decisions", auto_ack=True) for _ in range(6)]
    found = {body: method.routing_key for method, _, body in got if method is not None}
    assert found == {to_event(one): f"decision.default.{one.outcome.lower()}" for one in made}


def peak_kilobytes(process: "subprocess.Popen[str]") -> int:
    """The most memory that a process has had, once it has ended well."""
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return usage.ru_maxrss


@pytest.mark.slow
def test_a_large_ledger_needs_no_more_memory_than_a_small_one(redis: "Redis", faceid: Faceid) -> None:
    for first in range(0, 6_000, 2_000):
        decide(redis, 2_000, first=first)
    one = peak_kilobytes(faceid.start("results", "resend", "--biz-id", biz_id(1)))
    many = peak_kilobytes(faceid.start("results", "resend", "--all"))
    assert redis.xlen("faceid.decisions") == 6_001
    assert many - one < 15_000, "all of them at once would be 60 MB"
