"""One bad item stops no worker: the others are decided, and the bad one is set aside where it can be seen."""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

from deploy.local.program import Program
from deploy.local.stack import Stack
from shared.ledger.message_set import MessageSet
from tests.support import form_v1
from tests.support.biz_ids import ISSUED_AT, biz_id
from tests.support.commands import Faceid
from tests.support.load import alerts, bodies, decisions, post_all, signed
from tests.support.queues import is_idle
from tests.support.redis_clients import open_redis
from tests.support.stacks import new_stack
from tests.support.waiting import until

pytestmark = pytest.mark.server
COUNT = 40
SETTINGS = {"FACEID_RECONCILE": "never", "FACEID_LEASE_SECONDS": "1", "FACEID_MAX_ATTEMPTS": "1"}
WORKER = (sys.executable, "-m", "console.main", "worker")
FAULTY = (sys.executable, "-m", "tests.chaos.faulty_worker", "worker")
KILLER = signed({"status": "OK", "biz_info": {"biz_id": f"{ISSUED_AT},killer", "biz_no": "1"}})


@pytest.fixture
def stack(tmp_path: Path, redis_url: str) -> Iterator[Stack]:
    """Without workers: each test starts its own."""
    with new_stack(tmp_path / "stack", redis_url=redis_url, worker_stages=(), settings=SETTINGS).running() as running:
        yield running


@pytest.fixture
def redis(stack: Stack) -> "Iterator[Redis]":
    with open_redis(stack.redis_url) as client:
        yield client


@pytest.fixture
def worker(stack: Stack, tmp_path: Path) -> Iterator[Program]:
    started = Program("worker", WORKER, stack.env, tmp_path)
    yield started
    started.stop()


def post(stack: Stack, *more: bytes) -> None:
    asyncio.run(post_all(stack.notify_url, [*bodies(COUNT), *more]))


def reasons(redis: "Redis") -> dict[str, str]:
    return {stored.id: stored.reason for stored in MessageSet(redis, "faceid", "dead")}


def test_a_refused_settlement_is_a_dead_letter_and_an_alert_and_its_neighbours_are_decided(
    stack: Stack, redis: "Redis", worker: Program
) -> None:
    redis.set(f"faceid:case:{{default}}:{biz_id(7)}", "a key of a wrong type")
    worker.start()
    post(stack)
    until(lambda: len(decisions(redis)) == COUNT - 1, what="the neighbours", of=[worker])
    until(lambda: reasons(redis), what="the dead letter", of=[worker])
    (letter,) = list(MessageSet(redis, "faceid", "dead"))
    assert (letter.biz_id, letter.reason) == (biz_id(7), "attempts_exhausted")
    until(lambda: alerts(redis), what="the alert", of=[worker])
    assert [alert.kind for alert in alerts(redis)] == ["settlement_refused"]
    assert worker.logged("settlement.refused")
    assert not worker.logged("broker.unavailable")
    until(lambda: is_idle(redis), of=[worker])


def test_a_refusal_to_set_a_message_aside_stops_no_other(stack: Stack, redis: "Redis", worker: Program) -> None:
    redis.set(f"faceid:case:{{default}}:{biz_id(7)}", "a key of a wrong type")
    redis.set("faceid:dead:items", "another one")
    worker.start()
    post(stack)
    until(lambda: len(decisions(redis)) == COUNT - 1, what="the neighbours", of=[worker])
    until(lambda: worker.logged("settlement.stuck"), of=[worker])
    post(stack, *bodies(5, first=COUNT + 1))
    until(lambda: len(decisions(redis)) == COUNT + 4, what="later callbacks", of=[worker])


UNREADABLE = {
    "bad JSON": b"{",
    "no object": b"[]",
    "a newer version": b'{"v":99,"id":"x","stage":"verify","at":1}\n',
    "an unknown stage": b'{"id":"x","stage":"dream","at":1}',
    "a wrong type": b'{"id":"x","stage":"verify","at":"soon"}',
    "a wrong message": b'{"id":"x","stage":"verify","at":1,"message":7}',
}


def test_what_cannot_be_loaded_from_a_message_set_is_a_dead_letter_and_kills_no_worker(
    stack: Stack, redis: "Redis", worker: Program
) -> None:
    for name, raw in UNREADABLE.items():
        for message_set in ("delayed", "outbox"):
            form_v1.Item(name, time.time(), raw).put(redis, message_set)
    newer = b'{"id":"a","stage":"publish","reason":"new_kind","at":1}'
    form_v1.Item("a newer alert", time.time(), newer).put(redis, "outbox")
    redis.zadd("faceid:delayed", {"without an item": 1.0})
    message = form_v1.messages("callbacks")["unsigned return"]
    parts = [message.queue, message.body.decode(), message.content_type, dict(message.headers)]
    later = {"id": "later", "stage": "verify", "at": 1, "message": parts, "a new field": {"a": 1}}
    form_v1.Item("later", time.time(), json.dumps(later).encode()).put(redis, "delayed")
    worker.start()
    post(stack)
    until(lambda: len(decisions(redis)) == COUNT, what="the neighbours", of=[worker])
    until(lambda: is_idle(redis), what="empty message sets", of=[worker])
    wanted = {f"{name}:{item}" for name in ("delayed", "outbox") for item in UNREADABLE} | {"outbox:a newer alert"}
    assert reasons(redis) == dict.fromkeys(wanted, "undecodable")
    assert worker.running


@pytest.mark.parametrize("message_set", ["dead", "unverified", "delayed"])
def test_commands_tolerate_what_cannot_be_loaded(stack: Stack, redis: "Redis", message_set: str) -> None:
    for name, raw in UNREADABLE.items():
        form_v1.Item(name, time.time(), raw).put(redis, message_set)
    faceid = Faceid(stack.env)
    assert faceid("status").code in {0, 1}
    assert "Traceback" not in faceid("status").err
    if message_set != "delayed":
        listed = faceid(message_set, "list", "--json")
        assert {record["id"] for record in listed.records} == set(UNREADABLE)
        assert faceid(message_set, "show", "bad JSON").code == 0


def test_a_dead_letter_that_no_version_could_read_goes_back_to_its_message_set(
    stack: Stack, redis: "Redis", worker: Program
) -> None:
    raw = UNREADABLE["a newer version"]
    form_v1.Item("new", time.time(), raw).put(redis, "delayed")
    worker.start()
    until(lambda: reasons(redis) == {"delayed:new": "undecodable"}, of=[worker])
    worker.stop()
    assert Faceid(stack.env)("dead", "replay", "delayed:new").code == 0
    assert (redis.hget("faceid:delayed:items", "new"), redis.zcard("faceid:delayed")) == (raw, 1)
    assert reasons(redis) == {}


def test_a_worker_whose_log_cannot_be_written_decides_everything(stack: Stack, redis: "Redis") -> None:
    with Path("/dev/full").open("wb") as full:
        process = subprocess.Popen(WORKER, env=stack.env, stdout=full, stderr=full)
        try:
            post(stack)
            until(lambda: len(decisions(redis)) == COUNT, what="every decision")
            until(lambda: is_idle(redis))
            assert process.poll() is None
        finally:
            process.terminate()
            assert process.wait(60) == 0


@pytest.mark.parametrize(("fault", "reason"), [("hangs", "poison"), ("raises", "")])
def test_an_item_without_a_settlement_is_handed_back_and_its_neighbours_are_decided(
    stack: Stack, redis: "Redis", tmp_path: Path, fault: str, reason: str
) -> None:
    worker = Program("faulty", FAULTY, stack.env | {"FAULTY_WORKER": fault}, tmp_path)
    post(stack, KILLER)
    ends: list[int] = []

    def is_done() -> bool:
        if not worker.running:
            if worker.exit_code is not None:
                ends.append(worker.exit_code)
            worker.start()
        return len(decisions(redis)) >= COUNT and is_idle(redis)

    until(is_done, what="every decision")
    assert worker.stop() == 0
    found = reasons(redis)
    if reason:
        assert list(found.values()) == [reason]
        assert set(ends) == {1}
        assert worker.logged("item.overdue")
    else:
        assert (found, ends) == ({}, [])
        assert len(decisions(redis)) == COUNT + 1
        assert worker.logged("attempt.unsettled")


def test_deaths_in_maintenance_make_no_poison(stack: Stack, redis: "Redis", tmp_path: Path) -> None:
    env = stack.env | {"FAULTY_WORKER": "dies in maintenance"}
    workers = [Program(f"faulty-{number}", FAULTY, env, tmp_path) for number in (1, 2)]
    post(stack)
    starts = 0

    def is_done() -> bool:
        nonlocal starts
        for worker in workers:
            if not worker.running:
                starts += 1
                worker.start()
        return starts > 8 and len(decisions(redis)) == COUNT and is_idle(redis)

    until(is_done, what="every decision")
    for worker in workers:
        worker.kill()
    assert reasons(redis) == {}
