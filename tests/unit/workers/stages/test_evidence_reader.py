"""Reading evidence: counted before the call, stored before it is parsed, and never over the budget."""

import asyncio
from typing import Any

import pytest
from fakeredis import FakeAsyncRedis
from redis.exceptions import ConnectionError as RedisConnectionError
from structlog.testing import capture_logs

from shared.ledger.ledger import Ledger
from tests.support.case_texts import text
from tests.support.cases import ACCOUNT, CASE, KEY, Vendor, answered, new_ledger, new_reader, new_redis
from tests.support.payloads import REMOVED
from tests.support.waiting import eventually
from workers.faceid.getresult_client import Answer, Answered, Failed, Refused, Unread, Unusable
from workers.stages.evidence_reader import (
    READ_TAKEN_OVER,
    EvidenceFound,
    EvidenceReader,
    EvidenceUnavailable,
    NotFinal,
    Reading,
    RetryLater,
)


@pytest.fixture
def redis() -> FakeAsyncRedis:
    return new_redis()


@pytest.fixture
def ledger(redis: FakeAsyncRedis) -> Ledger:
    return new_ledger(redis)


async def read(reader: EvidenceReader, *, signed: bool = True) -> Reading:
    return await reader.read(ACCOUNT, CASE, signed=signed)


async def reads_counted(redis: FakeAsyncRedis) -> int:
    return int(await redis.hget(KEY, "reads") or 0)


PASS = answered("clean-pass")
PROCESSING = answered("clean-pass", status="PROCESSING")


# Answers


async def test_an_answer_is_stored_raw_and_returned(redis: FakeAsyncRedis, ledger: Ledger) -> None:
    found = await read(new_reader(ledger, Vendor(PASS)))
    assert isinstance(found, EvidenceFound)
    assert (found.raw, found.result.status) == (PASS.raw, "OK")
    assert text(await redis.hgetall(KEY), "raw") == PASS.raw
    assert await reads_counted(redis) == 1


async def test_a_stored_answer_is_used_instead_of_another_read(ledger: Ledger) -> None:
    vendor = Vendor(PASS)
    first = await read(new_reader(ledger, vendor))
    again = await read(new_reader(ledger, vendor))
    assert isinstance(first, EvidenceFound)
    assert isinstance(again, EvidenceFound)
    assert (first.raw, first.result) == (again.raw, again.result)
    assert len(vendor.reads) == 1


@pytest.mark.parametrize("code", ["RESULT_NOT_FOUND", "DATA_DESTROYED", "BAD_ARGUMENTS", "MISSING_ARGUMENTS"])
async def test_a_permanent_refusal_is_stored_and_not_counted(code: str, redis: FakeAsyncRedis, ledger: Ledger) -> None:
    vendor = Vendor(Refused(code))
    for _ in range(3):
        assert await read(new_reader(ledger, vendor)) == EvidenceUnavailable(code)
    assert len(vendor.reads) == 1
    assert await reads_counted(redis) == 0


async def test_an_answer_that_can_not_be_used_is_counted_and_not_read_again(
    redis: FakeAsyncRedis, ledger: Ledger
) -> None:
    vendor = Vendor(Unusable("ANSWER_TOO_LARGE"), PASS)
    for signed in (False, True):
        assert await read(new_reader(ledger, vendor), signed=signed) == EvidenceUnavailable("ANSWER_TOO_LARGE")
    assert len(vendor.reads) == 1
    assert await reads_counted(redis) == 1


@pytest.mark.parametrize(
    "code", ["NO_CONNECTION", "NO_FILE_DESCRIPTORS", "CONCURRENCY_LIMIT_EXCEEDED", "AUTHENTICATION_ERROR"]
)
async def test_a_call_that_did_not_read_the_result_is_not_counted(
    code: str, redis: FakeAsyncRedis, ledger: Ledger
) -> None:
    vendor = Vendor(*[Unread(code)] * 5, PASS)
    for _ in range(5):
        assert await read(new_reader(ledger, vendor)) == RetryLater(1.0, code)
        assert await reads_counted(redis) == 0
        await redis.delete("p:account:{default}")  # its breaker has a test of its own
    assert isinstance(await read(new_reader(ledger, vendor)), EvidenceFound)


async def test_a_call_that_this_machine_could_not_send_is_logged(ledger: Ledger) -> None:
    with capture_logs() as lines:
        await read(new_reader(ledger, Vendor(Unread("NO_FILE_DESCRIPTORS"))))
    (line,) = lines
    assert (line["event"], line["log_level"], line["code"]) == ("getresult.not_sent", "error", "NO_FILE_DESCRIPTORS")


async def busy_for(redis: FakeAsyncRedis, milliseconds: int) -> None:
    seconds, microseconds = await redis.time()
    await redis.hset("p:account:{default}", "busy_until", seconds * 1000 + microseconds // 1000 + milliseconds)


async def test_a_read_waits_for_the_end_of_a_short_common_pause(redis: FakeAsyncRedis, ledger: Ledger) -> None:
    vendor = Vendor(PASS)
    await busy_for(redis, 100)
    assert isinstance(await read(new_reader(ledger, vendor)), EvidenceFound)
    assert len(vendor.reads) == 1


async def test_a_read_is_delayed_by_a_long_common_pause(redis: FakeAsyncRedis, ledger: Ledger) -> None:
    vendor = Vendor(PASS)
    await busy_for(redis, 60_000)
    delayed = await read(new_reader(ledger, vendor))
    assert isinstance(delayed, RetryLater)
    assert (delayed.why, vendor.reads) == ("vendor_busy", [])


async def test_retry_after_of_an_answer_is_respected(ledger: Ledger) -> None:
    assert await read(new_reader(ledger, Vendor(Unread("NO_CONNECTION", 90.0)))) == RetryLater(90.0, "NO_CONNECTION")


async def test_a_failed_read_stays_counted_and_the_next_one_waits(redis: FakeAsyncRedis, ledger: Ledger) -> None:
    vendor = Vendor(Failed("TIMEOUT"), PASS)
    waiting = await read(new_reader(ledger, vendor, 60.0))
    assert isinstance(waiting, RetryLater)
    assert (waiting.why, round(waiting.seconds)) == ("read_spacing", 60)
    assert await reads_counted(redis) == len(vendor.reads) == 1
    await redis.hdel(KEY, "next_read_at")  # a minute later
    assert isinstance(await read(new_reader(ledger, vendor, 60.0)), EvidenceFound)


# The budget


@pytest.mark.parametrize(("signed", "reads"), [(True, 3), (False, 2)])
async def test_failed_reads_use_up_the_budget_and_only_a_signed_callback_uses_the_last_one(
    signed: bool, reads: int, ledger: Ledger
) -> None:
    vendor = Vendor(Failed("TIMEOUT"))
    for _ in range(2):
        assert await read(new_reader(ledger, vendor), signed=signed) == EvidenceUnavailable("BUDGET_SPENT")
    assert len(vendor.reads) == reads


async def test_a_signed_callback_may_use_the_read_that_an_unsigned_return_left(ledger: Ledger) -> None:
    vendor = Vendor(Failed("TIMEOUT"), Failed("TIMEOUT"), PASS)
    assert await read(new_reader(ledger, vendor), signed=False) == EvidenceUnavailable("BUDGET_SPENT")
    assert isinstance(await read(new_reader(ledger, vendor), signed=True), EvidenceFound)


@pytest.mark.parametrize(("budget", "signed", "reads"), [(1, True, 1), (1, False, 0), (2, True, 2), (2, False, 1)])
async def test_a_smaller_budget_is_respected(budget: int, signed: bool, reads: int, ledger: Ledger) -> None:
    vendor = Vendor(Failed("HTTP_502"))
    assert await read(new_reader(ledger, vendor, budget=budget), signed=signed) == EvidenceUnavailable("BUDGET_SPENT")
    assert len(vendor.reads) == reads


async def test_a_read_during_which_the_worker_dies_stays_counted(redis: FakeAsyncRedis, ledger: Ledger) -> None:
    vendor = Vendor(PASS)
    vendor.gate.clear()
    dying = asyncio.create_task(read(new_reader(ledger, vendor)))
    await eventually(lambda: vendor.reads)
    dying.cancel()
    await asyncio.wait([dying])
    assert await reads_counted(redis) == 1
    waiting = await read(new_reader(ledger, Vendor(PASS)))
    assert isinstance(waiting, RetryLater)
    assert 0 < waiting.seconds <= 1


async def test_an_answer_that_is_being_stored_keeps_no_other_call_waiting(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    vendor, stored, finish_read = Vendor(PASS), asyncio.Event(), ledger.finish_read

    async def finish_later(*read: Any) -> tuple[str, ...] | None:
        await stored.wait()
        return await finish_read(*read)

    monkeypatch.setattr(ledger, "finish_read", finish_later)
    reader = new_reader(ledger, vendor, calls=1)
    cases = [CASE, CASE._replace(biz_id="another")]
    tasks = [asyncio.create_task(reader.read(ACCOUNT, case, signed=True)) for case in cases]
    await eventually(lambda: len(vendor.reads) == 2)
    stored.set()
    await asyncio.gather(*tasks)


async def test_of_many_workers_one_reads_and_the_others_wait(ledger: Ledger, redis: FakeAsyncRedis) -> None:
    vendor = Vendor(PASS)
    vendor.gate.clear()
    readers = [new_reader(new_ledger(redis), vendor) for _ in range(20)]
    tasks = [asyncio.create_task(read(reader)) for reader in readers]
    await eventually(lambda: sum(task.done() for task in tasks) == 19)
    vendor.gate.set()
    kinds = [type(reading) for reading in await asyncio.gather(*tasks)]
    assert (kinds.count(EvidenceFound), kinds.count(RetryLater)) == (1, 19)
    assert isinstance(await read(readers[5]), EvidenceFound)
    assert len(vendor.reads) == 1


# Answers that are not final


@pytest.mark.parametrize(
    "answer",
    [
        PROCESSING,
        answered("clean-pass", status="NOT_STARTED"),
        Answered(b"<html>maintenance</html>"),
        Answered(b"\xff\xfe"),
        Answered(b"[1]"),
        Answered(b""),
    ],
    ids=[
        "processing",
        "not started",
        "html",
        "not UTF-8",
        "no object",
        "empty",
    ],
)
async def test_an_answer_that_is_not_final_is_set_aside_and_read_again(
    answer: Answered, redis: FakeAsyncRedis, ledger: Ledger
) -> None:
    vendor = Vendor(answer, PASS)
    assert await read(new_reader(ledger, vendor)) == NotFinal()
    assert text(await redis.hgetall(KEY), "set_aside") == answer.raw
    assert not await redis.hexists(KEY, "raw")
    assert isinstance(await read(new_reader(ledger, vendor)), EvidenceFound)
    assert await reads_counted(redis) == 2


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (answered("clean-pass", status=""), ""),
        (answered("clean-pass", status=None), None),
        (answered("clean-pass", status=REMOVED), None),
        (answered("clean-pass", biz_info__biz_id="1462259748,another"), None),
        (answered("clean-pass", images={"image_best": "A" * 400_000}), "OK"),
        (Answered(b'{"status": "OK", "status": "OK"}'), None),
        (Answered(b'{"status": "OK", "note": 1, "note": 2, "score": NaN}'), "OK"),
        (Answered(b'{"status": "OK", "note": "\xff"}'), "OK"),
        (Answered(b"{}"), None),
    ],
    ids=["empty", "null", "missing", "another case's", "images", "ambiguous", "odd", "not UTF-8", "nothing"],
)
async def test_a_complete_answer_is_kept_and_not_read_again(
    answer: Answered, status: str | None, redis: FakeAsyncRedis, ledger: Ledger
) -> None:
    vendor = Vendor(answer, PASS)
    for _ in range(2):
        found = await read(new_reader(ledger, vendor))
        assert isinstance(found, EvidenceFound)
        assert found.result.status == status
    assert text(await redis.hgetall(KEY), "raw") == answer.raw
    assert await reads_counted(redis) == len(vendor.reads) == 1


async def test_an_answer_that_a_dead_worker_stored_is_parsed_by_the_next_worker(
    redis: FakeAsyncRedis, ledger: Ledger
) -> None:
    vendor = Vendor(PASS)
    await redis.hset(KEY, mapping={"raw": PROCESSING.raw, "reads": 1})
    assert await read(new_reader(ledger, vendor)) == NotFinal()
    assert isinstance(await read(new_reader(ledger, vendor)), EvidenceFound)


async def test_an_answer_without_a_biz_id_belongs_to_the_case_it_was_read_for(ledger: Ledger) -> None:
    found = await read(new_reader(ledger, Vendor(Answered(b'{"status": "CANCELLED"}'))))
    assert isinstance(found, EvidenceFound)
    assert (found.result.biz_id, found.result.status) == (CASE.biz_id, "CANCELLED")


async def test_an_unknown_status_is_final(ledger: Ledger) -> None:
    assert isinstance(await read(new_reader(ledger, Vendor(answered(status="EXPLODED")))), EvidenceFound)


async def test_arrivals_during_the_read_are_in_its_channels(ledger: Ledger) -> None:
    async def arrive(channel: str) -> None:
        await ledger.arrive(CASE, channel, channel, fingerprint="g", data="", biz_no="", received_at=1.0, secret="0")

    vendor = Vendor(PASS)
    await arrive("notify")
    vendor.during_read = lambda: arrive("return")
    found = await read(new_reader(ledger, vendor))
    assert isinstance(found, EvidenceFound)
    assert found.channels == ("notify", "return")


# An unavailable ledger


class LossyLedger:
    """A ledger that loses its next `times` replies to one method, after it has done the work."""

    def __init__(self, ledger: Ledger, method: str, times: int) -> None:
        self._ledger = ledger
        self._method = method
        self.left = times

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._ledger, name)
        if name != self._method:
            return method

        async def lose_reply(*args: Any, **kwargs: Any) -> Any:
            reply = await method(*args, **kwargs)
            if self.left:
                self.left -= 1
                raise RedisConnectionError("cut")
            return reply

        return lose_reply


async def test_a_lost_reply_to_reserve_read_uses_no_read(redis: FakeAsyncRedis, ledger: Ledger) -> None:
    lossy: Any = LossyLedger(ledger, "reserve_read", 2)
    vendor = Vendor(PASS)
    assert isinstance(await read(new_reader(lossy, vendor)), EvidenceFound)
    assert await reads_counted(redis) == len(vendor.reads) == 1


async def test_an_unavailable_ledger_raises_and_nothing_is_read(ledger: Ledger) -> None:
    lossy: Any = LossyLedger(ledger, "reserve_read", 1000)
    vendor = Vendor(PASS)
    with pytest.raises(RedisConnectionError):
        await read(new_reader(lossy, vendor))
    assert vendor.reads == []


@pytest.mark.parametrize(("answer", "reads"), [(PASS, 1), (Refused("DATA_DESTROYED"), 0), (Unread("NO_CONNECTION"), 0)])
async def test_the_end_of_a_read_is_recorded_once_the_ledger_is_back(
    answer: Answer, reads: int, redis: FakeAsyncRedis, ledger: Ledger
) -> None:
    lossy: Any = LossyLedger(ledger, "finish_read", 3)
    vendor = Vendor(answer)
    await read(new_reader(lossy, vendor))
    assert lossy.left == 0
    assert len(vendor.reads) == 1
    assert await reads_counted(redis) == reads
    assert text(await redis.hgetall(KEY), "raw") == (PASS.raw if answer is PASS else None)


async def test_a_worker_whose_read_was_taken_over_does_not_decide(redis: FakeAsyncRedis, ledger: Ledger) -> None:
    async def take_over() -> None:
        await redis.hset(KEY, "read_until", "0")
        assert await read(new_reader(ledger, Vendor(PASS), budget=1)) == EvidenceUnavailable("BUDGET_SPENT")

    vendor = Vendor(PASS)
    vendor.during_read = take_over
    assert await read(new_reader(ledger, vendor)) == READ_TAKEN_OVER
    assert isinstance(await read(new_reader(ledger, vendor)), EvidenceFound)
    assert len(vendor.reads) == 1
