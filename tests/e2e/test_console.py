"""The operator's commands against the whole pipeline: real processes over real sockets."""

import asyncio
import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from console.main import COMMANDS
from deploy.local.program import Program
from deploy.local.stack import DEMO_SECRET, Stack
from shared.brokers.factory import open_publisher
from shared.ledger.message_set import MessageSet, put_commands
from shared.messaging.stored_message import StoredMessage
from tests.support.biz_ids import biz_id
from tests.support.commands import Faceid
from tests.support.load import CALLBACKS, bodies, decisions, post_all, signed
from tests.support.payloads import new_envelope
from tests.support.redis_clients import open_redis
from tests.support.stacks import new_stack
from tests.support.waiting import LIMIT, until

pytestmark = pytest.mark.server
FORM = "application/x-www-form-urlencoded"
PRIVATE = "a private remark"
SETTINGS = {
    "FACEID_READ_SPACING_SECONDS": "0.2,0.4",
    "FACEID_HINT_DELAY_SECONDS": "0.2",
    "FACEID_LEASE_SECONDS": "5",
}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """One pipeline for all tests, each of which has cases of its own."""
    with new_stack(tmp_path_factory.mktemp("console") / "stack", settings=SETTINGS).running() as running:
        yield running


@pytest.fixture
def redis(stack: Stack) -> "Iterator[Redis]":
    with open_redis(stack.redis_url) as client:
        yield client


@pytest.fixture
def faceid(stack: Stack) -> Faceid:
    return Faceid(stack.env)


def callback(number: int, secret: str = DEMO_SECRET) -> bytes:
    """A signed callback of a case of its own, with something private in it."""
    payload: dict[str, Any] = json.loads(json.dumps(CALLBACKS["clean-pass"]))
    payload["biz_info"] |= {"biz_id": biz_id(number), "biz_no": f"order-{number}", "biz_extra_data": PRIVATE}
    return signed(payload, secret)


def decide(stack: Stack, redis: "Redis", *load: bytes) -> None:
    """Post callbacks and wait for their decisions."""
    before = len(decisions(redis))
    asyncio.run(post_all(stack.notify_url, load))
    until(lambda: len(decisions(redis)) == before + len(load), what="every decision", of=stack.programs)


def message_set(redis: "Redis", name: Any = "dead") -> MessageSet:
    return MessageSet(redis, "faceid", name)


def test_a_case_is_shown_by_biz_id_and_by_biz_no(stack: Stack, redis: "Redis", faceid: Faceid) -> None:
    decide(stack, redis, callback(101))

    by_id, by_no = faceid("case", biz_id(101)), faceid("case", "order-101", "--json").records[0]

    lines = {line.partition("  ")[0]: line.partition("  ")[2].strip() for line in by_id.out.splitlines()}
    assert lines["biz_no"] == "order-101"
    assert lines["state"].endswith(", published")
    assert "permanently refused: RESULT_NOT_FOUND" in lines["GetResult"]
    assert "NOT_RECONCILED: GetResult could not confirm the callback" in by_id.out
    assert [event["kind"] for event in by_no["events"]] == ["arrival", "decision"]
    assert by_no["biz_id"] == biz_id(101)
    assert by_no["published"] is not None


def test_biz_extra_data_is_shown_only_with_reveal(stack: Stack, redis: "Redis", faceid: Faceid) -> None:
    decide(stack, redis, callback(102))

    hidden = faceid("case", biz_id(102)).out + faceid("case", biz_id(102), "--json").out

    assert PRIVATE not in hidden
    assert PRIVATE in faceid("case", biz_id(102), "--reveal").out


def test_an_unknown_case_exits_with_3(faceid: Faceid) -> None:
    ran = faceid("case", "1795334000,nobody")

    assert (ran.code, ran.out) == (1, "")
    assert "has no case 1795334000,nobody" in ran.err


def test_a_waiting_case_says_what_it_waits_for(stack: Stack, redis: "Redis", faceid: Faceid) -> None:
    payload: dict[str, Any] = json.loads(json.dumps(CALLBACKS["clean-pass"]))
    payload["biz_info"]["biz_id"] = waiting = f"{time.time():.0f},waiting"
    payload["status"] = "PROCESSING"
    asyncio.run(post_all(stack.notify_url, [signed(payload)]))
    until(lambda: len(message_set(redis, "delayed")) == 1, what="the delayed recheck", of=stack.programs)

    case = faceid("case", waiting, "--json").records[0]

    assert case["state"] == "waiting"
    assert [event["kind"] for event in case["events"]] == ["arrival", "delayed"]
    assert "delayed before reconcile (open_case), due in 1h " in case["events"][1]["text"]


def test_a_replayed_dead_letter_is_decided_and_its_case_shows_the_replay(
    stack: Stack, redis: "Redis", faceid: Faceid
) -> None:
    envelope = new_envelope("default", "notify", "POST", callback(103), FORM, "", time.time())
    stored = StoredMessage(envelope.id, "verify", "error", "KeyError at verify.py:1 in run", time.time())
    stored = replace(stored, account="default", biz_id=biz_id(103), message=envelope.to_message("faceid.callbacks"))
    for command in put_commands("faceid", "dead", stored):
        redis.execute_command(*command)

    ran = faceid("dead", "replay", "--biz-id", biz_id(103), "--note", "fixed in 1.4.2")
    until(lambda: bool(decisions(redis, biz_id(103))), what="the decision", of=stack.programs)

    assert (ran.code, ran.out) == (0, "1 replayed\n")
    events = faceid("case", biz_id(103), "--json").records[0]["events"]
    (replay,) = [event for event in events if event["kind"] == "replay"]
    assert '(verify: error): "fixed in 1.4.2"' in replay["text"]


def test_messages_that_workers_can_not_read_can_be_listed_and_replayed(
    stack: Stack, redis: "Redis", faceid: Faceid
) -> None:
    redis.xadd("faceid.callbacks", {"who": "a third party", "body": "x", "headers": "no JSON"})
    unknown = new_envelope("unknown", "notify", "POST", b"x", FORM, "", time.time())
    open_publisher(stack.redis_url, 5).publish([unknown.to_message("faceid.callbacks")])
    until(lambda: len(message_set(redis)) == 2, what="the dead letters", of=stack.programs)

    first = {record["reason"]: record["id"] for record in faceid("dead", "list", "--json").records}
    ran = faceid("dead", "replay", "--all")
    until(lambda: len(message_set(redis)) == 2, what="the dead letters' return", of=stack.programs)
    again = {record["reason"]: record["id"] for record in faceid("dead", "list", "--json").records}

    assert set(first) == {"undecodable", "unknown_account"}
    assert (ran.code, ran.out) == (0, "2 replayed\n")
    assert again["unknown_account"] == first["unknown_account"] == unknown.id
    shown = faceid("dead", "show", again["undecodable"], "--reveal", "--json").records[0]
    assert shown["entry"] == {"who": "a third party", "body": "x", "headers": "no JSON"}
    assert faceid("dead", "drop", "--all", "--yes").out.endswith("2 dropped\n")


def test_an_unverified_callback_is_decided_when_replayed_after_the_secret_was_fixed(
    stack: Stack, redis: "Redis", faceid: Faceid
) -> None:
    asyncio.run(post_all(stack.notify_url, [callback(104, secret="rotated")]))
    until(lambda: len(message_set(redis, "unverified")) == 1, what="the unverified callback", of=stack.programs)
    for worker in stack.workers:
        worker.stop()
    env = stack.env | {"FACEID_API_SECRETS": f"{DEMO_SECRET},rotated"}
    fixed = Program("fixed", (sys.executable, "-m", "console.main", "worker"), env, stack.folder)
    fixed.start()
    try:
        assert faceid("unverified", "replay", "--reason", "bad_signature").out == "1 replayed\n"
        until(lambda: bool(decisions(redis, biz_id(104))), what="the decision", of=[fixed])
    finally:
        fixed.stop()
        for worker in stack.workers:
            worker.start()


def test_tailing_the_results_consumes_nothing(stack: Stack, redis: "Redis", faceid: Faceid) -> None:
    decide(stack, redis, *bodies(12, names=("clean-pass", "official-page-example"), first=200))
    before = redis.xinfo_stream("faceid.decisions")

    last, all_of_them = (
        faceid("results", "tail", "--no-follow"),
        faceid("results", "tail", "--no-follow", "--from-start"),
    )
    events = faceid("results", "tail", "--no-follow", "--from-start", "--json").records

    assert redis.xinfo_stream("faceid.decisions") == before
    assert len(last.out.splitlines()) == 10
    assert len(all_of_them.out.splitlines()) == len(events) == len(decisions(redis))
    assert PRIVATE not in all_of_them.out
    assert [event["data"] for event in events] == decisions(redis)


def test_tailing_can_be_narrowed_to_an_outcome_and_an_account(stack: Stack, redis: "Redis", faceid: Faceid) -> None:
    decide(stack, redis, *bodies(4, names=("clean-pass", "official-page-example"), first=300))
    rejected = faceid("results", "tail", "--no-follow", "--from-start", "--outcome", "REJECTED", "--account", "default")
    nobody = faceid("results", "tail", "--no-follow", "--from-start", "--account", "nobody")

    assert {line.split()[1] for line in rejected.out.splitlines()} == {"REJECTED"}
    assert "ATTACK_SYNTHETIC_FACE" in rejected.out
    assert nobody.out == ""


def test_tailing_follows_new_decisions_until_it_is_interrupted(stack: Stack, redis: "Redis", faceid: Faceid) -> None:
    decide(stack, redis, callback(401))
    process = faceid.start("results", "tail", "--json")
    assert process.stdout is not None
    for _ in range(min(10, len(decisions(redis)))):
        process.stdout.readline()

    decide(stack, redis, callback(402))

    assert json.loads(process.stdout.readline())["subject"] == biz_id(402)
    process.send_signal(2)
    assert (process.wait(LIMIT), process.stderr and process.stderr.read()) == (0, "")


@pytest.mark.parametrize(
    ("url", "code", "said"),
    [
        ("amqp://user:private@127.0.0.1:9//", 3, "nothing listens there"),
        ("stock+redis://:private@127.0.0.1:9/0", 2, "would consume them"),
    ],
)
def test_results_that_can_not_be_tailed_are_an_error_that_says_why(
    faceid: Faceid, url: str, code: int, said: str
) -> None:
    ran = faceid("results", "tail", FACEID_RESULTS_URL=url)

    assert (ran.code, ran.out) == (code, "")
    assert said in ran.err
    assert "private" not in ran.err


def test_the_status_counts_stored_messages_and_results(stack: Stack, redis: "Redis", faceid: Faceid) -> None:
    open_publisher(stack.redis_url, 5).publish(
        [new_envelope("ghost", "notify", "POST", b"x", FORM, "", time.time()).to_message("faceid.callbacks")]
    )
    asyncio.run(post_all(stack.notify_url, bodies(1, first=490)))
    until(lambda: len(message_set(redis)) == 1 and decisions(redis, biz_id(490)), what="both", of=stack.programs)

    (status,) = faceid("status", "--json").records
    shown = faceid("status")

    assert status["message_sets"]["dead"] == {
        "total": 1,
        "reasons": {"verify": {"unknown_account": 1}},
        "estimated": False,
        "deleted": 0,
    }
    assert [queue["stage"] for queue in status["queues"]] == ["verify", "reconcile", "classify", "publish"]
    assert (status["backlog"], status["results"][0]["count"]) == (0, len(decisions(redis)))
    assert "faceid.decisions: no reader" in shown.out
    assert "1 unknown_account" in shown.out
    assert faceid("dead", "drop", "--all", "--yes").code == 0


def wait_for_heartbeats(stack: Stack, faceid: Faceid) -> list[dict[str, Any]]:
    """The workers in the status, when all of them and no other are there."""

    def workers() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = faceid("status", "--json").records[0]["workers"]
        return found

    running = {worker.pid for worker in stack.workers}
    until(lambda: {worker["pid"] for worker in workers()} == running, what="the heartbeats", of=stack.programs)
    return workers()


def test_the_status_shows_live_workers_and_fails_without_them(stack: Stack, redis: "Redis", faceid: Faceid) -> None:
    alive = wait_for_heartbeats(stack, faceid)
    assert {tuple(worker["stages"]) for worker in alive} == {("verify", "reconcile", "classify", "publish")}
    assert {tuple(worker["accounts"]) for worker in alive} == {("default",)}
    assert faceid("status").code == 0

    for worker in stack.workers:
        worker.stop()
    try:
        asyncio.run(post_all(stack.notify_url, bodies(3, first=500)))
        ran = faceid("status", "--json")
        (stopped,) = ran.records
        assert stopped["queues"][0]["waiting"] == 3
        assert stopped["queues"][0]["oldest_seconds"] < 60
        assert (ran.code, stopped["workers"]) == (1, [])
        assert "no worker is alive; start one: faceid worker" in stopped["warnings"]
    finally:
        for worker in stack.workers:
            worker.start()
        until(lambda: redis.xlen("faceid.callbacks") == 0, what="the queue's end", of=stack.programs)


def test_the_status_fails_for_a_killed_worker_until_its_heartbeat_expires(stack: Stack, faceid: Faceid) -> None:
    wait_for_heartbeats(stack, faceid)
    stack.workers[0].kill()
    try:
        until(lambda: faceid("status").code == 1, what="a missing heartbeat", of=stack.workers[1:])
        until(lambda: faceid("status").code == 0, what="its end", of=stack.workers[1:])
    finally:
        stack.workers[0].start()


def test_watching_the_status_prints_it_again_and_again(faceid: Faceid) -> None:
    process = faceid.start("status", "--watch", "--json")
    assert process.stdout is not None
    first, second = (json.loads(process.stdout.readline()) for _ in range(2))

    process.send_signal(2)

    assert second["at"] > first["at"]
    assert process.wait(LIMIT) == 0


def test_watching_the_status_through_a_pipe_prints_at_once_and_ends_with_the_reader(faceid: Faceid) -> None:
    process = faceid.start("status", "--watch")
    assert process.stdout is not None
    assert process.stdout.readline().startswith("stage ")

    process.stdout.close()

    assert process.wait(LIMIT) in {0, 1}
    assert process.stderr is not None
    assert "Traceback" not in process.stderr.read()


def test_a_demo_whose_folder_is_a_file_says_so(faceid: Faceid, tmp_path: Path) -> None:
    (file := tmp_path / "file").touch()
    ran = faceid("demo", "--folder", str(file))

    assert (ran.code, ran.out) == (2, "")
    assert f"{file} is not a folder." in ran.err


def test_the_doctor_warns_only_of_memory_replicas_and_port_on_a_demo_server(faceid: Faceid) -> None:
    ran = faceid("doctor", "--json")

    levels = {record["check"]: record["level"] for record in ran.records}
    assert ran.code == 0
    assert {name for name, level in levels.items() if level == "warn"} == {"memory", "port", "replicas"}


@pytest.mark.parametrize(
    ("settings", "level", "found"),
    [
        ({}, "ok", "key, secret and URL are right (RESULT_NOT_FOUND"),
        ({"FACEID_API_KEY": "wrong"}, "fail", "FaceID knows no such key and secret"),
        ({"FACEID_API_SECRETS": "wrong"}, "fail", "FaceID knows no such key and secret"),
        ({"FACEID_BASE_URL": "{}/elsewhere"}, "fail", "there is no GetResult at the URL"),
        ({"FACEID_BASE_URL": "http://127.0.0.1:1/faceid/lite"}, "fail", "nothing answers at the URL"),
    ],
)
def test_a_call_of_the_doctor_tells_a_wrong_key_from_a_wrong_url(
    settings: dict[str, str], level: str, found: str, stack: Stack, faceid: Faceid
) -> None:
    given = {name: value.format(stack.simulator_url) for name, value in settings.items()}
    ran = Faceid(stack.env | given)("doctor", "--call", "--json")

    (call,) = [record for record in ran.records if record["check"] == "GetResult of default"]
    assert call["level"] == level
    assert found in call["found"]
    assert ran.code == (1 if level == "fail" else 0)


def test_the_doctor_exits_with_1_when_something_fails(faceid: Faceid, redis: "Redis") -> None:
    redis.config_set("maxmemory-policy", "allkeys-lru")
    try:
        ran = faceid("doctor", FACEID_API_SECRETS="")
    finally:
        redis.config_set("maxmemory-policy", "noeviction")

    assert ran.code == 1
    assert "Set maxmemory-policy noeviction" in ran.out
    assert "FACEID_API_SECRETS" in ran.out


def test_signed_data_is_verified_posted_and_decided(stack: Stack, redis: "Redis", faceid: Faceid) -> None:
    data = json.dumps(CALLBACKS["clean-pass"] | {"biz_info": {"biz_id": biz_id(601)}}).encode()

    body = faceid("sign", stdin=data + b"\n").out.encode()

    assert DEMO_SECRET.encode() not in body
    verified = faceid("verify", stdin=body)
    assert (verified.code, verified.out.splitlines()[1]) == (0, f"biz_id:   {biz_id(601)}")
    decide(stack, redis, body)


def test_a_forged_body_does_not_verify(faceid: Faceid) -> None:
    ran = faceid("verify", stdin=callback(602, secret="guessed"))

    assert (ran.code, ran.out) == (1, "unverified: bad_signature: no secret of the account gives this signature\n")


def test_each_account_signs_with_its_own_secret(faceid: Faceid, tmp_path: Path) -> None:
    accounts = tmp_path / "accounts.toml"
    tables = (f'[{name}]\napi_secrets = "{name}-secret"\nreconcile = "never"\n' for name in ("shop", "bank"))
    accounts.write_text("".join(tables))
    known = {"FACEID_ACCOUNTS": str(accounts)}

    body = faceid("sign", "--account", "shop", stdin=b'{"biz_info": {"biz_id": "1,a"}}', **known).out.encode()

    assert faceid("verify", "--account", "shop", stdin=body, **known).code == 0
    assert faceid("verify", "--account", "bank", stdin=body, **known).code == 1
    assert faceid("verify", stdin=body, **known).code == 2


def test_a_policy_is_explained_or_all_its_faults_are_listed(faceid: Faceid, tmp_path: Path) -> None:
    mine, broken = tmp_path / "mine.toml", tmp_path / "broken.toml"
    mine.write_text(faceid("policy", "show").out.replace("default-1", "strict-1").replace('"1e-4"', '"1e-5"', 1))
    broken.write_text('version = ""\n[faces]\nmargin = -1\n')

    good, bad = faceid("policy", "check", str(mine)), faceid("policy", "check", str(broken))

    assert (good.code, "At or above FaceID's 1e-" in good.out) == (0, True)
    assert "strict-1" in faceid("policy", "check", FACEID_POLICY=str(mine)).out
    assert (bad.code, bad.err.count("\n")) == (1, 3)


def test_help_is_quick_and_teaches_by_example() -> None:
    words = [sys.executable, "-X", "importtime", "-m", "console.main", "--help"]

    ran = subprocess.run(words, capture_output=True, text=True, check=True, env=dict(os.environ))

    assert "dead" in ran.stdout
    heavy = {"redis", "kombu", "pydantic", "structlog", "starlette", "asyncio"}
    imported = {line.rpartition("|")[2].strip() for line in ran.stderr.splitlines()}
    assert not heavy & imported
    assert not {command.module for command in COMMANDS} & imported


@pytest.mark.parametrize(
    "command",
    [
        *(
            f"{message_set} {word}"
            for message_set in ("dead", "unverified")
            for word in ("list", "show", "replay", "drop")
        ),
        *("results tail", "results resend", "case", "case redecide", "status", "settings"),
        *("ingress", "worker", "simulator", "demo"),
        *("sign", "verify", "policy check", "policy show", "doctor"),
    ],
)
def test_every_command_has_an_example_in_its_help(faceid: Faceid, command: str) -> None:
    ran = faceid(*shlex.split(command), "--help")

    assert ran.code == 0
    _, _, example = " ".join(ran.out.split()).partition("Example: ")
    assert f"faceid {command}" in example
