"""A signed callback that contradicts GetResult is noticed, whatever the order in which the arrivals come."""

import asyncio
import json
from itertools import permutations
from typing import Literal

import pytest

from shared.accounts import Account
from shared.ledger.case_key import CaseKey, case_key, trimmed_key
from shared.ledger.scripts import load_script
from shared.messaging.envelope import Envelope
from tests.support.one_worker import PREFIX, OneWorker
from tests.support.payloads import BIZ_ID, FORM, ISSUED_AT, changed, signed
from workers.faceid.getresult_client import Answer, Answered

NOW = ISSUED_AT + 7200.0
"""The token has expired: every arrival may be read at once."""
ARRIVALS = ("GET return", "PROCESSING", "notify", "return POST")
Timing = Literal["each decided", "read in flight"]


class FaceID:
    """GetResult: the first read waits for `release`."""

    def __init__(self, vector: str) -> None:
        self.release = asyncio.Event()
        self._answer = Answered(json.dumps(changed(vector)).encode())

    async def __call__(self, _account: Account, _biz_id: str) -> Answer:
        await self.release.wait()
        return self._answer


def envelope(kind: str, says: dict[str, str]) -> Envelope:
    """An arrival. `says`: the vector of each signed, final callback."""
    at = ISSUED_AT + 60.0
    if kind == "GET return":
        return Envelope(kind, "default", "return", "GET", at, b"", query=f"biz_id={BIZ_ID}")
    body = signed(json.dumps(changed(says.get(kind, "processing")))).body
    return Envelope(kind, "default", "return" if kind == "return POST" else "notify", "POST", at, body, FORM)


async def decided(order: tuple[str, ...], truth: str, says: dict[str, str], timing: Timing) -> OneWorker:
    faceid = FaceID(truth)
    worker = OneWorker(faceid, now=NOW)
    if timing == "each decided":
        faceid.release.set()
    started = []
    for kind in order:
        started.append(asyncio.create_task(worker.process(envelope(kind, says))))
        if timing == "each decided":
            await started[-1]
            await worker.run_until_idle()
        else:
            await asyncio.sleep(0.005)  # a shorter or a longer time is another order, which must do as well
    faceid.release.set()
    await asyncio.gather(*started)
    await worker.run_until_idle()
    return worker


def check(worker: OneWorker, truth: str, says: dict[str, str]) -> None:
    contradicted = set(says.values()) != {truth}
    published = sorted(worker.published(), key=lambda decision: decision["revision"])
    outcomes = [decision["outcome"] for decision in published]
    (current,) = worker.committed(BIZ_ID)
    assert published[-1] == current
    if not contradicted:
        assert outcomes == ["APPROVED" if truth == "clean-pass" else "REJECTED"]
        assert worker.message_set("outbox") == []
        return
    assert outcomes in ([["REVIEW"], ["APPROVED", "REVIEW"]] if truth == "clean-pass" else [["REJECTED"]])
    codes = [reason["code"] for reason in current["reasons"]]
    assert "EVIDENCE_MISMATCH" in codes or "evidence_conflict" in worker.message_set("outbox")
    if len(outcomes) == 2:
        assert "evidence_conflict" in worker.message_set("outbox")
    assert worker.message_set("dead") == worker.message_set("delayed") == []


@pytest.mark.parametrize("timing", ["each decided", "read in flight"])
@pytest.mark.parametrize("truth", ["clean-pass", "liveness-fail"])
@pytest.mark.parametrize("contradicting", [(), ("notify",), ("return POST",), ("notify", "return POST")])
async def test_every_order_notices_what_contradicts(contradicting: tuple[str, ...], truth: str, timing: Timing) -> None:
    other = "liveness-fail" if truth == "clean-pass" else "clean-pass"
    says = {kind: other if kind in contradicting else truth for kind in ("notify", "return POST")}
    for order in permutations(ARRIVALS):
        check(await decided(order, truth, says, timing), truth, says)


@pytest.mark.parametrize("order", [("GET return", "notify"), ("notify", "GET return")])
@pytest.mark.parametrize("timing", ["each decided", "read in flight"])
async def test_a_thin_callback_that_agrees_is_no_contradiction(order: tuple[str, ...], timing: Timing) -> None:
    faceid = FaceID("clean-pass")
    faceid.release.set()
    worker = OneWorker(faceid, now=NOW)
    thin = json.dumps({"status": "OK", "biz_info": {"biz_id": BIZ_ID}})
    for kind in order:
        arrived = envelope(kind, {"notify": "clean-pass"})
        if kind == "notify":
            arrived = Envelope(kind, "default", "notify", "POST", ISSUED_AT + 60.0, signed(thin).body, FORM)
        await worker.process(arrived)
        if timing == "each decided":
            await worker.run_until_idle()
    await worker.run_until_idle()
    assert [decision["outcome"] for decision in worker.published()] == ["APPROVED"]
    assert worker.message_set("outbox") == []


@pytest.mark.parametrize("order", [("GET return", "notify", "return POST"), ("notify", "return POST", "GET return")])
async def test_an_approval_is_taken_back_after_its_evidence_was_deleted(order: tuple[str, ...]) -> None:
    says = {"notify": "clean-pass", "return POST": "liveness-fail"}
    faceid = FaceID("clean-pass")
    faceid.release.set()
    worker = OneWorker(faceid, now=NOW)
    key = case_key(PREFIX, CaseKey("default", BIZ_ID))
    drop = worker.redis.register_script(load_script("drop_evidence"))
    for kind in order:
        await worker.process(envelope(kind, says))
        await worker.run_until_idle()
        drop(keys=(trimmed_key(PREFIX), key), args=(10**12,))
        await worker.process(envelope(kind, says))  # FaceID posts it again
    published = sorted(worker.published(), key=lambda decision: decision["revision"])
    assert [decision["outcome"] for decision in published] == ["APPROVED", "REVIEW"]
    mismatch, *_ = published[-1]["reasons"]
    assert (mismatch["code"], mismatch["field"]) == ("EVIDENCE_MISMATCH", "callbacks_not_stored")
    assert "evidence_conflict" in worker.message_set("outbox")
    assert worker.redis.hmget(key, "reads", "raw", "callback") == [b"1", None, None]
