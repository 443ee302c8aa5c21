"""An answer of GetResult that comes when nobody waits for it any more: revision 2, once, whatever dies on the way."""

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import pytest

from shared.events.decision import decision_id
from shared.ledger.case_key import CaseKey, case_key
from shared.ledger.message_set import MessageSet
from shared.messaging.delivery import Delivery
from shared.messaging.envelope import Envelope
from shared.messaging.message import Message
from tests.support.one_worker import PREFIX, OneWorker
from tests.support.payloads import BIZ_ID, CALLBACKS, changed, signed
from tests.support.waiting import eventually
from workers.faceid.getresult_client import Answer, Answered, Failed
from workers.maintenance.outbox_relay import OutboxRelay

NOW = 1_462_259_800.0
KEY = case_key(PREFIX, CaseKey("default", BIZ_ID))
TEXT = json.dumps(CALLBACKS["clean-pass"])
PASS = Answered(TEXT.encode())


class Sleeper:
    """GetResult: the first read takes until it is woken, all others fail."""

    def __init__(self, answer: Answer = PASS) -> None:
        self.woken = asyncio.Event()
        self.reads = 0
        self._answer = answer

    async def __call__(self, *_: Any) -> Answer:
        self.reads += 1
        if self.reads > 1:
            return Failed("TIMEOUT")
        await self.woken.wait()
        return self._answer


class Bench(OneWorker):
    """A worker whose outbox is emptied by hand; what it sends is kept."""

    def __init__(self, vendor: Sleeper) -> None:
        super().__init__(vendor, now=NOW)
        self.inner: list[Message] = []
        self.results: list[dict[str, Any]] = []
        self._outbox = OutboxRelay(self, self.redis, PREFIX)  # type: ignore[arg-type]  # the part of a Source that it uses

    def release(self, message_set: MessageSet, leaving: Sequence[tuple[str, Message]], *, results: bool) -> None:
        message_set.take([(item, ()) for item, _ in leaving])
        for _, message in leaving:
            if results:
                self.results.append(json.loads(message.body))
            else:
                self.inner.append(message)

    async def empty(self, *, deaths: int = 0) -> None:
        """Empty the outbox and work on what it recalls; workers die over that so many times before they can settle."""
        self._outbox.run()
        messages, self.inner = self.inner, []
        for message in messages:
            for _ in range(deaths + 1):
                queue = message.queue.removeprefix(f"{PREFIX}.")
                await self._runner.run(Delivery("recalled", queue, message.headers, message.content_type, message.body))
        self._outbox.run()

    def decided(self) -> list[dict[str, Any]]:
        """What the outbox has sent of decisions."""
        return [event["data"] for event in self.results if event["type"] == "faceid.decision.v1"]

    def current(self) -> dict[str, Any]:
        (decision,) = self.committed(BIZ_ID)
        return decision


async def given_up(vendor: Sleeper, text: str = TEXT) -> tuple[Bench, "asyncio.Task[None]"]:
    """A case that is decided by its callback alone while its first read sleeps; and the worker that sleeps over it."""
    bench, envelope = Bench(vendor), signed(text)
    sleeping = asyncio.create_task(bench.take(envelope))
    await eventually(lambda: vendor.reads == 1)
    bench.redis.hset(KEY, "read_until", 1)  # its longest life is over
    await bench.take(envelope)  # somebody else has the item by now
    await bench.rest()
    return bench, sleeping


async def wake(vendor: Sleeper, sleeping: "asyncio.Task[None]") -> None:
    vendor.woken.set()
    await sleeping


def revisions(bench: Bench) -> list[tuple[int, str]]:
    """Of everything that went out."""
    return [(decision["revision"], decision["outcome"]) for decision in (*bench.decisions, *bench.decided())]


async def test_an_answer_after_the_budget_is_spent_supersedes_the_decision() -> None:
    vendor = Sleeper()
    bench, sleeping = await given_up(vendor)
    assert revisions(bench) == [(1, "REVIEW")]
    assert [reason["code"] for reason in bench.current()["reasons"]] == ["FACE_MATCHED", "NOT_RECONCILED"]
    await wake(vendor, sleeping)
    await bench.rest()
    await bench.empty()
    assert revisions(bench) == [(1, "REVIEW"), (2, "APPROVED")]
    (second,) = bench.decided()
    assert (second["supersedes"], second["reconciled"]) == (decision_id("default", BIZ_ID, 1), True)
    assert [event["data"]["kind"] for event in bench.results[1:]] == ["decision_superseded"]
    assert vendor.reads == 3


@pytest.mark.parametrize("deaths", [1, 3])
async def test_workers_that_die_over_it_double_nothing(deaths: int) -> None:
    vendor = Sleeper()
    bench, sleeping = await given_up(vendor)
    await wake(vendor, sleeping)
    await bench.empty(deaths=deaths)
    await bench.empty(deaths=deaths)
    assert revisions(bench) == [(1, "REVIEW"), (2, "APPROVED")]


async def test_the_worker_that_slept_need_not_live_on() -> None:
    vendor = Sleeper()
    bench, sleeping = await given_up(vendor)
    vendor.woken.set()
    await eventually(lambda: bench.redis.hexists(KEY, "raw"))
    sleeping.cancel()
    await asyncio.wait([sleeping])
    await bench.empty()
    assert revisions(bench) == [(1, "REVIEW"), (2, "APPROVED")]


async def test_an_answer_that_says_that_the_flow_goes_on_changes_nothing() -> None:
    vendor = Sleeper(Answered(json.dumps(changed("processing")).encode()))
    bench, sleeping = await given_up(vendor)
    await wake(vendor, sleeping)
    await bench.empty()
    assert revisions(bench) == [(1, "REVIEW")]
    assert bench.message_set("outbox") == bench.message_set("dead") == []


@pytest.mark.parametrize("raw", [b"<html>", b"", b"\xff\xfe", b'{"status": "OK", "status": "OK"}'])
async def test_an_answer_that_can_not_be_read_changes_nothing(raw: bytes) -> None:
    vendor = Sleeper(Answered(raw))
    bench, sleeping = await given_up(vendor)
    await wake(vendor, sleeping)
    await bench.empty()
    assert revisions(bench) == [(1, "REVIEW")]
    assert bench.message_set("outbox") == bench.message_set("dead") == []


async def test_the_same_outcome_on_better_evidence_is_a_revision_without_an_alert() -> None:
    text = json.dumps(CALLBACKS["liveness-fail"])
    vendor = Sleeper(Answered(text.encode()))
    bench, sleeping = await given_up(vendor, text)
    await wake(vendor, sleeping)
    await bench.empty()
    assert revisions(bench) == [(1, "REJECTED"), (2, "REJECTED")]
    assert [event["type"] for event in bench.results] == ["faceid.decision.v1"]


async def test_what_arrives_after_that_changes_nothing() -> None:
    vendor = Sleeper()
    bench, sleeping = await given_up(vendor)
    await wake(vendor, sleeping)
    await bench.empty()
    await bench.take_all([signed(TEXT), signed(json.dumps(changed("liveness-fail"))), signed(TEXT)])
    await bench.rest()
    await bench.empty()
    assert revisions(bench) == [(1, "REVIEW"), (2, "APPROVED")]
    assert bench.results[-1]["data"]["kind"] == "evidence_conflict"


async def test_a_case_that_is_forgotten_meanwhile_is_not_decided_anew() -> None:
    vendor = Sleeper()
    bench, sleeping = await given_up(vendor)
    await wake(vendor, sleeping)
    bench.redis.delete(KEY)
    await bench.empty()
    assert revisions(bench) == [(1, "REVIEW")]
    assert not bench.redis.exists(KEY)


def envelope_ids(messages: Sequence[Message]) -> list[str]:
    return [Envelope.read(message.headers, message.content_type, message.body).id for message in messages]


async def test_a_recalled_case_goes_by_the_queue_of_the_stage_that_classifies() -> None:
    vendor = Sleeper()
    bench, sleeping = await given_up(vendor)
    await wake(vendor, sleeping)
    bench._outbox.run()
    assert [message.queue for message in bench.inner] == ["faceid.reconciled"]
    assert envelope_ids(bench.inner) == [f"reclassify-{decision_id('default', BIZ_ID, 1)}"]
