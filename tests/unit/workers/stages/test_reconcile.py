"""The reconcile stage: who owns a case, when an open case is rechecked, and what an unsigned return may do."""

import asyncio
from typing import Any

import pytest
from fakeredis import FakeAsyncRedis
from redis.exceptions import ConnectionError as RedisConnectionError

from shared.accounts import Account
from shared.ledger.message_set import Command
from shared.messaging.envelope import Envelope
from tests.support.cases import (
    ACCOUNT,
    CASE,
    KEY,
    NEVER_RECONCILED,
    Clock,
    Vendor,
    answered,
    new_ledger,
    new_reader,
    new_redis,
    unsigned,
    verified,
)
from tests.support.payloads import ISSUED_AT
from workers.decisioning.evidence import ReconciledCase
from workers.faceid.getresult_client import Answer, Answered, Failed, Refused, Unread
from workers.faceid.verification import VerifiedArrival
from workers.runtime import stage_result
from workers.runtime.settlement import Item, Settler
from workers.runtime.stage_result import StageResult
from workers.stages.reconcile import RESULT_KEPT_SECONDS, RecheckTimes, Reconcile, token_issued_at

UNSIGNED_DELAY, TOKEN_LIFETIME = 60.0, 3900.0
PASS = answered("clean-pass")
PROCESSING = answered("clean-pass", status="PROCESSING")


class Bench:
    """The stage with a ledger and a GetResult of its own."""

    def __init__(self, *answers: Answer, account: Account = ACCOUNT, spacing: tuple[float, ...] = (0.0,)) -> None:
        self.redis: FakeAsyncRedis = new_redis()
        self.clock = Clock()
        self.vendor = Vendor(*(answers or (PASS,)))
        self.ledger = new_ledger(self.redis)
        reader = new_reader(self.ledger, self.vendor, *spacing)
        self.stage = Reconcile(
            {"default": account}, self.ledger, reader, RecheckTimes(UNSIGNED_DELAY, TOKEN_LIFETIME), self.clock
        )

    async def run(
        self, item: VerifiedArrival, name: str = "i1", channel: Any = "notify", at: float = ISSUED_AT + 10
    ) -> StageResult:
        method: Any = "GET" if item.callback is None else "POST"
        return await self.stage.run(Envelope(name, "default", channel, method, at, b"", biz_id=item.biz_id), item)

    async def run_unsigned(self, name: str = "unsigned", at: float = ISSUED_AT + 10) -> StageResult:
        return await self.run(unsigned(), name, "return", at)

    async def release(self) -> None:
        """Write what the runtime writes when the owner has become a dead letter."""
        envelope = Envelope("any", "default", "notify", "POST", 0.0, b"", biz_id=CASE.biz_id)
        settled = Settler("p", 1, self.clock).settle(
            "t", Item("verify", envelope, b""), stage_result.DeadLetter("error", "")
        )
        command: Command = settled.writes[0]
        await self.redis.execute_command(*command)  # type: ignore[no-untyped-call]  # redis-py has no types for it


def forwarded(result: StageResult) -> ReconciledCase:
    assert isinstance(result, stage_result.Forward)
    assert isinstance(result.value, ReconciledCase)
    return result.value


# Signed, final evidence


async def test_a_signed_callback_is_forwarded_with_getresults_answer() -> None:
    bench, signed = Bench(), verified()
    value = forwarded(await bench.run(signed))
    assert value.verified is signed
    assert (value.raw, value.refusal, value.reconcile) == (PASS.raw.decode(), None, True)
    assert value.result is not None
    assert value.result.status == "OK"
    assert value.channels == ("notify",)
    assert bench.vendor.reads == [CASE.biz_id]


async def test_arrivals_on_a_case_with_an_owner_are_dropped_as_joined() -> None:
    bench = Bench()
    forwarded(await bench.run(verified()))
    for name, channel in (("i2", "notify"), ("i3", "return")):
        assert await bench.run(verified(), name, channel) == stage_result.Drop("joined")
    assert await bench.run_unsigned() == stage_result.Drop("joined")
    assert len(bench.vendor.reads) == 1


async def test_arrivals_after_the_decision_is_published_are_dropped() -> None:
    bench = Bench()
    await bench.run(verified())
    await bench.redis.hset(KEY, "published", "id")
    for result in (await bench.run(verified(), "i2"), await bench.run_unsigned()):
        assert result == stage_result.Drop("decided")


async def test_a_message_redelivered_after_its_worker_died_uses_the_stored_answer() -> None:
    bench = Bench()
    first, again = forwarded(await bench.run(verified())), forwarded(await bench.run(verified()))
    assert first.raw == again.raw
    assert len(bench.vendor.reads) == 1


async def test_after_the_owner_is_released_the_next_arrival_owns_the_case() -> None:
    bench = Bench()
    await bench.run(verified())
    await bench.release()
    assert forwarded(await bench.run(verified(), "i2")).raw == PASS.raw.decode()
    assert await bench.run(verified()) == stage_result.Drop("joined")
    assert len(bench.vendor.reads) == 1


async def test_channels_include_arrivals_during_the_read() -> None:
    bench = Bench()

    async def arrive() -> None:
        assert await bench.run(verified(), "i2", "return") == stage_result.Drop("joined")

    bench.vendor.during_read = arrive
    assert forwarded(await bench.run(verified())).channels == ("notify", "return")


@pytest.mark.parametrize("code", ["RESULT_NOT_FOUND", "DATA_DESTROYED"])
async def test_a_signed_callback_is_forwarded_at_once_when_getresult_refuses(code: str) -> None:
    value = forwarded(await Bench(Refused(code)).run(verified()))
    assert (value.raw, value.result, value.refusal, value.reconcile) == ("", None, code, True)


async def test_a_signed_callback_is_forwarded_when_the_budget_is_spent() -> None:
    bench = Bench(Failed("TIMEOUT"))
    value = forwarded(await bench.run(verified()))
    assert (value.result, value.refusal) == (None, "BUDGET_SPENT")
    assert len(bench.vendor.reads) == 3


async def test_answers_that_are_not_final_are_read_again_within_the_budget() -> None:
    bench = Bench(PROCESSING, Answered(b"<html>"), PASS)
    assert forwarded(await bench.run(verified())).raw == PASS.raw.decode()
    assert len(bench.vendor.reads) == 3


async def test_a_signed_callback_is_forwarded_alone_when_no_answer_is_final() -> None:
    bench = Bench(PROCESSING)
    assert forwarded(await bench.run(verified())).refusal == "BUDGET_SPENT"
    assert len(bench.vendor.reads) == 3


async def test_after_a_failed_read_the_message_is_delayed_without_an_attempt() -> None:
    bench = Bench(Failed("TIMEOUT"), spacing=(60.0,))
    waiting = await bench.run(verified())
    assert isinstance(waiting, stage_result.Delay)
    assert (waiting.why, waiting.attempt, round(waiting.seconds)) == ("read_spacing", False, 60)
    assert len(bench.vendor.reads) == 1


async def test_an_outage_of_faceid_uses_no_read_and_no_attempt() -> None:
    bench = Bench(Unread("AUTHENTICATION_ERROR", 30.0))
    assert await bench.run(verified()) == stage_result.Delay(30.0, "AUTHENTICATION_ERROR")
    assert await bench.redis.hget(KEY, "reads") == b"0"


async def test_a_read_is_not_retried_for_longer_than_faceid_keeps_the_result() -> None:
    bench = Bench(Unread("AUTHENTICATION_ERROR", 30.0))
    assert await bench.run(verified()) == stage_result.Delay(30.0, "AUTHENTICATION_ERROR")
    bench.clock.now += RESULT_KEPT_SECONDS
    assert isinstance(await bench.run(verified()), stage_result.Delay)
    bench.clock.now += 1
    assert forwarded(await bench.run(verified())).refusal == "RESULT_EXPIRED"


@pytest.mark.parametrize("status", ["CANCELLED", "TIMEOUT", "FAILED", "WEBRTC_UNSUPPORTED", "EXPLODED"])
async def test_every_final_status_is_forwarded(status: str) -> None:
    forwarded(await Bench(answered(status=status)).run(verified(status=status)))


# An account with FACEID_RECONCILE=never


async def test_without_reconciling_the_signed_callback_is_forwarded_alone() -> None:
    bench = Bench(account=NEVER_RECONCILED)
    value = forwarded(await bench.run(verified()))
    assert (value.result, value.refusal, value.reconcile, value.channels) == (None, None, False, ("notify",))
    assert await bench.run(verified(), "i2") == stage_result.Drop("joined")
    assert bench.vendor.reads == []


async def test_without_reconciling_open_cases_and_unsigned_returns_are_dropped() -> None:
    bench = Bench(account=NEVER_RECONCILED)
    assert await bench.run(verified(status="PROCESSING")) == stage_result.Drop("nothing_to_decide_on")
    assert await bench.run_unsigned() == stage_result.Drop("nothing_to_decide_on")


# Unfinished flows


@pytest.mark.parametrize("status", ["NOT_STARTED", "PROCESSING"])
async def test_an_unfinished_flow_is_read_once_after_its_token_has_expired(status: str) -> None:
    bench = Bench()
    assert await bench.run(verified(status=status)) == stage_result.Delay(TOKEN_LIFETIME - 10, "open_case")
    assert bench.vendor.reads == []
    bench.clock.now = ISSUED_AT + TOKEN_LIFETIME
    assert forwarded(await bench.run(verified(status=status))).raw == PASS.raw.decode()
    assert len(bench.vendor.reads) == 1


async def test_a_flow_that_never_finishes_is_dropped_after_its_recheck() -> None:
    bench = Bench(PROCESSING)
    bench.clock.now = ISSUED_AT + TOKEN_LIFETIME
    assert await bench.run(verified(status="PROCESSING")) == stage_result.Drop("never_finished")
    assert len(bench.vendor.reads) == 1


async def test_an_unfinished_flow_without_a_result_is_forwarded_with_its_callback() -> None:
    bench = Bench(Refused("DATA_DESTROYED"))
    bench.clock.now = ISSUED_AT + TOKEN_LIFETIME
    assert forwarded(await bench.run(verified(status="PROCESSING"))).refusal == "DATA_DESTROYED"


async def test_a_final_callback_owns_a_case_that_was_waiting_for_its_recheck() -> None:
    bench = Bench()
    await bench.run(verified(status="PROCESSING"))
    forwarded(await bench.run(verified(), "final"))
    bench.clock.now = ISSUED_AT + TOKEN_LIFETIME
    assert await bench.run(verified(status="PROCESSING")) == stage_result.Drop("joined")
    assert len(bench.vendor.reads) == 1


async def test_an_outage_delays_the_recheck() -> None:
    bench = Bench(Unread("NO_CONNECTION"))
    bench.clock.now = ISSUED_AT + TOKEN_LIFETIME
    assert await bench.run(verified(status="PROCESSING")) == stage_result.Delay(1.0, "NO_CONNECTION")


# Unsigned returns


async def test_an_unsigned_return_is_delayed_and_then_read() -> None:
    bench = Bench()
    assert await bench.run_unsigned() == stage_result.Delay(UNSIGNED_DELAY, "open_case")
    assert bench.vendor.reads == []
    bench.clock.now += UNSIGNED_DELAY
    value = forwarded(await bench.run_unsigned())
    assert value.verified == unsigned()
    assert (value.raw, value.channels) == (PASS.raw.decode(), ("return",))


async def test_an_unsigned_return_without_a_result_is_dropped() -> None:
    bench = Bench(Refused("RESULT_NOT_FOUND"))
    bench.clock.now += UNSIGNED_DELAY
    assert await bench.run_unsigned() == stage_result.Drop("unsigned_without_result")


async def test_an_unsigned_return_never_uses_the_last_read() -> None:
    bench = Bench(Failed("TIMEOUT"), Failed("TIMEOUT"), PASS)
    bench.clock.now += UNSIGNED_DELAY
    assert await bench.run_unsigned() == stage_result.Drop("unsigned_without_result")
    assert len(bench.vendor.reads) == 2
    assert forwarded(await bench.run(verified())).raw == PASS.raw.decode()


async def test_an_unsigned_return_in_an_open_flow_is_read_again_after_its_token_has_expired() -> None:
    bench = Bench(PROCESSING, PROCESSING, PASS)
    bench.clock.now += UNSIGNED_DELAY
    assert await bench.run_unsigned() == stage_result.Delay(TOKEN_LIFETIME - 10 - UNSIGNED_DELAY, "open_case")
    bench.clock.now = ISSUED_AT + TOKEN_LIFETIME
    assert await bench.run_unsigned() == stage_result.Drop("never_finished")
    assert len(bench.vendor.reads) == 2


async def test_a_signed_callback_is_rechecked_after_an_unsigned_return_was_dropped() -> None:
    bench = Bench(Refused("RESULT_NOT_FOUND"))
    bench.clock.now += UNSIGNED_DELAY
    await bench.run_unsigned()
    recheck = await bench.run(verified(status="PROCESSING"))
    assert isinstance(recheck, stage_result.Delay)
    assert recheck.why == "open_case"


async def test_a_second_unsigned_return_is_dropped_as_joined() -> None:
    bench = Bench()
    await bench.run_unsigned()
    assert await bench.run_unsigned("another") == stage_result.Drop("joined")


# Arrivals at the same time


async def test_of_many_arrivals_at_once_one_reads_and_the_others_are_dropped() -> None:
    bench = Bench()
    results = await asyncio.gather(*(bench.run(verified(), f"i{number}") for number in range(50)))
    kinds = [type(result).__name__ for result in results]
    assert (kinds.count("Forward"), kinds.count("Drop")) == (1, 49)
    assert len(bench.vendor.reads) == 1


async def test_an_unsigned_return_and_a_signed_callback_at_once_make_one_read() -> None:
    bench = Bench()
    bench.clock.now += UNSIGNED_DELAY
    bench.vendor.gate.clear()
    recheck = asyncio.create_task(bench.run_unsigned())
    while not bench.vendor.reads:  # noqa: ASYNC110 - the read begins within this loop's own turns
        await asyncio.sleep(0)
    waiting = await bench.run(verified())
    assert isinstance(waiting, stage_result.Delay)
    assert waiting.why == "read_spacing"
    bench.vendor.gate.set()
    assert forwarded(await recheck).raw == forwarded(await bench.run(verified())).raw
    assert len(bench.vendor.reads) == 1


# Errors


async def test_reconcile_of_an_unknown_account_is_a_dead_letter() -> None:
    envelope = Envelope("i1", "unknown", "notify", "POST", 1.0, b"")
    result = await Bench().stage.run(envelope, verified())
    assert isinstance(result, stage_result.DeadLetter)
    assert result.reason == "unknown_account"


async def test_an_unavailable_ledger_raises_to_the_runner() -> None:
    bench = Bench()
    bench.redis.connection_pool.connection_kwargs["server"].connected = False
    with pytest.raises(RedisConnectionError):
        await bench.run(verified())
    assert bench.vendor.reads == []


@pytest.mark.parametrize(
    ("biz_id", "received_at", "issued_at"),
    [
        ("1462259748,52b13fb5", 1462259800.0, 1462259748.0),
        ("1462259748", 1462259800.0, 1462259748.0),
        ("1462259748,52b13fb5", 1462250000.0, 1462250000.0),  # a token is never later than its callback
        ("99999999999999999999,x", 5.0, 5.0),
        ("52b13fb5", 5.0, 5.0),
        ("-1,x", 5.0, 5.0),
        ("٣,x", 5.0, 5.0),
        (",x", 5.0, 5.0),
    ],
)
def test_the_time_of_the_token_is_read_from_the_biz_id(biz_id: str, received_at: float, issued_at: float) -> None:
    assert token_issued_at(biz_id, received_at) == issued_at


def test_a_reconciled_case_survives_a_message() -> None:
    value = ReconciledCase(verified(), PASS.raw.decode(), None, None, True, ("notify", "return"))
    loaded = ReconciledCase.load(value.dump())
    assert (loaded.verified, loaded.raw, loaded.refusal, loaded.reconcile, loaded.channels) == (
        value.verified,
        value.raw,
        None,
        True,
        ("notify", "return"),
    )
    assert loaded.result is not None
    assert loaded.result.status == "OK"
    assert loaded.dump() == value.dump()


def test_an_unsigned_return_without_an_answer_survives_a_message() -> None:
    value = ReconciledCase(unsigned(), "", None, "DATA_DESTROYED", True, ())
    assert ReconciledCase.load(value.dump()) == value


def test_the_repr_of_a_reconciled_case_contains_nothing_of_its_evidence() -> None:
    shown = repr(ReconciledCase(verified(), "hunter2", None, "hunter2", True, ("notify",)))
    assert shown == f"<ReconciledCase {verified().biz_id}>"
