"""An answer of GetResult after the case was decided without it: revision 2, published once, even if workers die."""

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import pytest
from zstandard import FRAME_HEADER

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


class SlowFirstRead:
    """GetResult: the first read waits for `release`, all others fail."""

    def __init__(self, answer: Answer = PASS) -> None:
        self.release = asyncio.Event()
        self.reads = 0
        self._answer = answer

    async def __call__(self, *_: Any) -> Answer:
        self.reads += 1
        if self.reads > 1:
            return Failed("TIMEOUT")
        await self.release.wait()
        return self._answer


class Bench(OneWorker):
    """A worker whose outbox is emptied by hand. It keeps what the outbox sends."""

    def __init__(self, vendor: SlowFirstRead) -> None:
        super().__init__(vendor, now=NOW)
        self.inner: list[Message] = []
        self.results: list[dict[str, Any]] = []
        self._outbox = OutboxRelay(self, self.redis, PREFIX)  # type: ignore[arg-type]  # the part of a Source that it uses

    def release(self, message_set: MessageSet, leaving: Sequence[tuple[str, Message]], *, results: bool) -> list[str]:
        message_set.take([(item, ()) for item, _ in leaving])
        for _, message in leaving:
            if results:
                self.results.append(json.loads(message.body))
            else:
                self.inner.append(message)
        return [item for item, _ in leaving]

    async def empty(self, *, deaths: int = 0) -> None:
        """Empty the outbox and process the cases that it sends; the first `deaths` workers die before they settle."""
        self._outbox.run()
        messages, self.inner = self.inner, []
        for message in messages:
            for _ in range(deaths + 1):
                queue = message.queue.removeprefix(f"{PREFIX}.")
                await self._runner.run(
                    Delivery("reclassified", queue, message.headers, message.content_type, message.body)
                )
        self._outbox.run()

    def superseding(self) -> list[dict[str, Any]]:
        """The decisions that the outbox has sent."""
        return [event["data"] for event in self.results if event["type"] == "faceid.decision.v1"]

    def current(self) -> dict[str, Any]:
        (decision,) = self.committed(BIZ_ID)
        return decision


async def decided_without_answer(vendor: SlowFirstRead, text: str = TEXT) -> tuple[Bench, "asyncio.Task[None]"]:
    """A case that is decided by its callback alone while its first read still waits; and the task of that read."""
    bench, envelope = Bench(vendor), signed(text)
    slow_read = asyncio.create_task(bench.process(envelope))
    await eventually(lambda: vendor.reads == 1)
    bench.redis.hset(KEY, "read_until", 1)  # the read has timed out
    await bench.process(envelope)  # another worker takes the message over
    await bench.run_until_idle()
    return bench, slow_read


async def finish_slow_read(vendor: SlowFirstRead, slow_read: "asyncio.Task[None]") -> None:
    vendor.release.set()
    await slow_read


def revisions(bench: Bench) -> list[tuple[int, str]]:
    """Revision and outcome of every published decision."""
    return [(decision["revision"], decision["outcome"]) for decision in (*bench.decisions, *bench.superseding())]


async def test_an_answer_after_the_budget_is_spent_supersedes_the_decision() -> None:
    vendor = SlowFirstRead()
    bench, slow_read = await decided_without_answer(vendor)
    assert revisions(bench) == [(1, "REVIEW")]
    assert [reason["code"] for reason in bench.current()["reasons"]] == ["FACE_MATCHED", "NOT_RECONCILED"]
    await finish_slow_read(vendor, slow_read)
    await bench.run_until_idle()
    await bench.empty()
    assert revisions(bench) == [(1, "REVIEW"), (2, "APPROVED")]
    (second,) = bench.superseding()
    assert (second["supersedes"], second["reconciled"]) == (decision_id("default", BIZ_ID, 1), True)
    assert [event["data"]["kind"] for event in bench.results[1:]] == ["decision_superseded"]
    assert vendor.reads == 3


@pytest.mark.parametrize("deaths", [1, 3])
async def test_workers_that_die_while_superseding_publish_no_revision_twice(deaths: int) -> None:
    vendor = SlowFirstRead()
    bench, slow_read = await decided_without_answer(vendor)
    await finish_slow_read(vendor, slow_read)
    await bench.empty(deaths=deaths)
    await bench.empty(deaths=deaths)
    assert revisions(bench) == [(1, "REVIEW"), (2, "APPROVED")]


async def test_a_late_answer_supersedes_even_if_its_worker_dies_after_storing_it() -> None:
    vendor = SlowFirstRead()
    bench, slow_read = await decided_without_answer(vendor)
    vendor.release.set()
    await eventually(lambda: bench.redis.hexists(KEY, "raw"))
    slow_read.cancel()
    await asyncio.wait([slow_read])
    await bench.empty()
    assert revisions(bench) == [(1, "REVIEW"), (2, "APPROVED")]


async def test_a_late_answer_that_is_not_final_changes_nothing() -> None:
    vendor = SlowFirstRead(Answered(json.dumps(changed("processing")).encode()))
    bench, slow_read = await decided_without_answer(vendor)
    await finish_slow_read(vendor, slow_read)
    await bench.empty()
    assert revisions(bench) == [(1, "REVIEW")]
    assert bench.message_set("outbox") == bench.message_set("dead") == []


@pytest.mark.parametrize("raw", [b"<html>", b"", b"\xff\xfe", b"[]"])
async def test_a_late_answer_that_can_not_be_parsed_changes_nothing(raw: bytes) -> None:
    vendor = SlowFirstRead(Answered(raw))
    bench, slow_read = await decided_without_answer(vendor)
    await finish_slow_read(vendor, slow_read)
    await bench.empty()
    assert revisions(bench) == [(1, "REVIEW")]
    assert bench.message_set("outbox") == bench.message_set("dead") == []


@pytest.mark.parametrize("name", ["raw", "callback", "decision"])
async def test_a_case_with_a_damaged_text_holds_nothing_up(name: str) -> None:
    vendor = SlowFirstRead()
    bench, slow_read = await decided_without_answer(vendor)
    await finish_slow_read(vendor, slow_read)
    bench.redis.hset(KEY, name, FRAME_HEADER + b"damaged")
    await bench.empty()
    assert bench.superseding() == []
    assert bench.message_set("outbox") == []


async def test_a_late_answer_with_the_same_outcome_is_a_revision_without_an_alert() -> None:
    text = json.dumps(CALLBACKS["liveness-fail"])
    vendor = SlowFirstRead(Answered(text.encode()))
    bench, slow_read = await decided_without_answer(vendor, text)
    await finish_slow_read(vendor, slow_read)
    await bench.empty()
    assert revisions(bench) == [(1, "REJECTED"), (2, "REJECTED")]
    assert [event["type"] for event in bench.results] == ["faceid.decision.v1"]


async def test_a_contradiction_after_the_second_revision_takes_the_approval_back() -> None:
    vendor = SlowFirstRead()
    bench, slow_read = await decided_without_answer(vendor)
    await finish_slow_read(vendor, slow_read)
    await bench.empty()
    await bench.process_all([signed(TEXT), signed(json.dumps(changed("liveness-fail"))), signed(TEXT)])
    await bench.run_until_idle()
    await bench.empty()
    assert revisions(bench) == [(1, "REVIEW"), (2, "APPROVED"), (3, "REVIEW")]
    assert bench.results[-1]["data"]["kind"] == "evidence_conflict"


async def test_a_case_that_expired_meanwhile_is_not_decided_again() -> None:
    vendor = SlowFirstRead()
    bench, slow_read = await decided_without_answer(vendor)
    await finish_slow_read(vendor, slow_read)
    bench.redis.delete(KEY)
    await bench.empty()
    assert revisions(bench) == [(1, "REVIEW")]
    assert not bench.redis.exists(KEY)


def envelope_ids(messages: Sequence[Message]) -> list[str]:
    return [Envelope.read(message.headers, message.content_type, message.body).id for message in messages]


async def test_the_outbox_sends_a_case_with_a_late_answer_to_classify() -> None:
    vendor = SlowFirstRead()
    bench, slow_read = await decided_without_answer(vendor)
    await finish_slow_read(vendor, slow_read)
    bench._outbox.run()
    assert [message.queue for message in bench.inner] == ["faceid.reconciled"]
    assert envelope_ids(bench.inner) == [f"reclassify-{decision_id('default', BIZ_ID, 1)}"]
