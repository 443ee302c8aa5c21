"""The operator's commands where the queues and the results are on RabbitMQ."""

import asyncio
import json
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from deploy.local.rabbit_server import RabbitServer
from deploy.local.stack import Stack
from shared.ledger.message_set import put_commands
from shared.messaging.stored_message import StoredMessage
from tests.support.biz_ids import biz_id
from tests.support.commands import Faceid
from tests.support.load import bodies, post_all
from tests.support.payloads import new_envelope
from tests.support.redis_clients import open_redis
from tests.support.stacks import new_stack
from tests.support.waiting import LIMIT, until

pytestmark = pytest.mark.server
FORM = "application/x-www-form-urlencoded"


@pytest.fixture(scope="module")
def stack(
    tmp_path_factory: pytest.TempPathFactory, rabbit_server: RabbitServer, _vhosts: Iterator[int]
) -> Iterator[Stack]:
    """One pipeline for all tests, each of which has cases of its own."""
    folder, url = tmp_path_factory.mktemp("console") / "stack", rabbit_server.url(next(_vhosts))
    with new_stack(folder, broker_url=url, settings={"FACEID_RECONCILE": "never"}).running() as running:
        yield running


@pytest.fixture
def faceid(stack: Stack) -> Faceid:
    return Faceid(stack.env)


def published(stack: Stack, *numbers: int) -> bool:
    """Whether the decisions on these cases are out."""
    with open_redis(stack.redis_url) as redis:
        return all(redis.hexists(f"faceid:case:{{default}}:{biz_id(number)}", "published") for number in numbers)


def test_the_status_shows_what_rabbitmq_knows_and_marks_the_rest_unknown(stack: Stack, faceid: Faceid) -> None:
    asyncio.run(post_all(stack.notify_url, bodies(5, first=100)))
    until(
        lambda: faceid("status", "--json").records[0]["results"][0]["count"] == 5,
        what="every decision",
        of=stack.programs,
    )

    (status,), shown = faceid("status", "--json").records, faceid("status").out

    assert [queue["readers"] for queue in status["queues"]] == [2, 2, 2, 2]
    assert {(queue["waiting"], queue["in_work"], queue["oldest_seconds"]) for queue in status["queues"]} == {
        (0, None, None)
    }
    assert (status["backlog"], len(status["workers"])) == (0, len(stack.workers))
    assert status["results"][0]["readers"] == []
    assert f"{len(stack.workers)} alive" in shown
    (warning,) = status["warnings"]
    assert warning.startswith("faceid.decisions: no reader, 5 messages; start a consumer")
    assert warning in shown


def test_the_doctor_passes_a_good_rabbitmq(faceid: Faceid) -> None:
    ran = faceid("doctor", "--json")

    levels = {record["check"]: record["level"] for record in ran.records}
    names = [f"{broker}{what}" for broker in ("broker", "results") for what in ("", " queues", " confirms")]
    assert ran.code == 0
    assert {name: levels[name] for name in names} == dict.fromkeys(names, "ok")


def test_a_tail_shows_new_decisions_and_consumes_nothing(stack: Stack, faceid: Faceid) -> None:
    (before,) = faceid("status", "--json").records
    process = faceid.start("results", "tail", "--json")
    assert process.stderr is not None
    assert process.stdout is not None
    assert "Listening at the exchange faceid" in process.stderr.readline()

    asyncio.run(post_all(stack.notify_url, bodies(2, first=200)))
    subjects = {json.loads(process.stdout.readline())["subject"] for _ in range(2)}
    process.send_signal(2)

    assert subjects == {biz_id(200), biz_id(201)}
    assert process.wait(LIMIT) == 0
    (after,) = faceid("status", "--json").records
    assert after["results"][0]["count"] == before["results"][0]["count"] + 2


@pytest.mark.parametrize("option", ["--from-start", "--no-follow"])
def test_earlier_decisions_can_not_be_tailed(faceid: Faceid, option: str) -> None:
    ran = faceid("results", "tail", option)

    assert (ran.code, ran.out) == (2, "")
    assert "would consume it" in ran.err


def test_a_replayed_dead_letter_is_decided_and_its_case_shows_the_replay(stack: Stack, faceid: Faceid) -> None:
    (body,) = bodies(1, first=300)
    envelope = new_envelope("default", "notify", "POST", body, FORM, "", time.time())
    stored = StoredMessage(envelope.id, "verify", "error", "KeyError at verify.py:1 in run", time.time())
    stored = replace(stored, account="default", biz_id=biz_id(300), message=envelope.to_message("faceid.callbacks"))
    with open_redis(stack.redis_url) as redis:
        for command in put_commands("faceid", "dead", stored):
            redis.execute_command(*command)

    ran = faceid("dead", "replay", "--biz-id", biz_id(300), "--note", "fixed in 1.4.2")
    until(lambda: published(stack, 300), what="the decision", of=stack.programs)

    assert (ran.code, ran.out) == (0, "1 replayed\n")
    events = faceid("case", biz_id(300), "--json").records[0]["events"]
    assert [event["kind"] for event in events if event["kind"] in {"replay", "decision"}] == ["replay", "decision"]


def test_the_status_shows_a_stage_that_nobody_runs(stack: Stack, faceid: Faceid) -> None:
    for worker in stack.workers:
        worker.stop()
    try:
        asyncio.run(post_all(stack.notify_url, bodies(3, first=400)))
        ran = faceid("status", "--json")
        (status,) = ran.records
        assert (ran.code, status["workers"]) == (1, [])
        assert [queue["readers"] for queue in status["queues"]] == [0, 0, 0, 0]
        assert (status["queues"][0]["waiting"], status["backlog"]) == (3, 3)
    finally:
        for worker in stack.workers:
            worker.start()
    until(lambda: published(stack, 400, 401, 402), what="the rest", of=stack.programs)
