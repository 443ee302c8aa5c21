"""Reconcile: who carries a case, when an open one is looked at, and what a hint may do."""

import asyncio
from typing import Any

import pytest
from fakeredis import FakeAsyncRedis
from redis.exceptions import ConnectionError as RedisConnectionError

from shared.ledger.message_set import Command
from shared.messaging.envelope import Envelope
from shared.settings import Account
from tests.support.cases import (
    ACCOUNT,
    BORN,
    CASE,
    KEY,
    TRUSTING,
    Clock,
    Vendor,
    answered,
    new_ledger,
    new_reader,
    new_redis,
    unsigned,
    verified,
)
from workers.decisioning.evidence import ReconciledCase
from workers.faceid.getresult_client import Answer, Answered, Failed, Refused, Unread
from workers.faceid.verification import VerifiedArrival
from workers.runtime import stage_result
from workers.runtime.settlement import Item, Settler
from workers.runtime.stage_result import StageResult
from workers.stages.reconcile import RESULT_KEPT_SECONDS, RecheckTimes, Reconcile, token_issued_at

HINT, TOKEN_LIFE = 60.0, 3900.0
PASS = answered("clean-pass")
PROCESSING = answered("clean-pass", status="PROCESSING")


class Desk:
    """The stage over a ledger of its own, and a vendor."""

    def __init__(self, *answers: Answer, account: Account = ACCOUNT, rests: tuple[float, ...] = (0.0,)) -> None:
        self.redis: FakeAsyncRedis = new_redis()
        self.clock = Clock()
        self.vendor = Vendor(*(answers or (PASS,)))
        self.ledger = new_ledger(self.redis)
        reader = new_reader(self.ledger, self.vendor, *rests)
        self.stage = Reconcile({"default": account}, self.ledger, reader, RecheckTimes(HINT, TOKEN_LIFE), self.clock)

    async def run(
        self, item: VerifiedArrival, name: str = "i1", channel: Any = "notify", at: float = BORN + 10
    ) -> StageResult:
        method: Any = "GET" if item.callback is None else "POST"
        return await self.stage.run(Envelope(name, "default", channel, method, at, b"", biz_id=item.biz_id), item)

    async def hint(self, name: str = "hint", at: float = BORN + 10) -> StageResult:
        return await self.run(unsigned(), name, "return", at)

    async def release(self) -> None:
        """What follows when the item that carries or looks has become a dead letter."""
        envelope = Envelope("any", "default", "notify", "POST", 0.0, b"", biz_id=CASE.biz_id)
        settled = Settler("p", 1, self.clock).settle(
            "t", Item("verify", envelope, b""), stage_result.DeadLetter("error", "")
        )
        command: Command = settled.writes[-1]
        await self.redis.execute_command(*command)  # type: ignore[no-untyped-call]  # redis-py has no types for it


def forwarded(result: StageResult) -> ReconciledCase:
    assert isinstance(result, stage_result.Forward)
    assert isinstance(result.value, ReconciledCase)
    return result.value


# Signed, final evidence


async def test_signed_evidence_goes_on_with_getresults_answer_beside_it() -> None:
    desk, signed = Desk(), verified()
    value = forwarded(await desk.run(signed))
    assert value.verified is signed
    assert (value.raw, value.refusal, value.reconcile) == (PASS.raw.decode(), None, True)
    assert value.result is not None
    assert value.result.status == "OK"
    assert value.channels == ("notify",)
    assert desk.vendor.reads == [CASE.biz_id]


async def test_what_arrives_while_a_case_is_carried_joins_it() -> None:
    desk = Desk()
    forwarded(await desk.run(verified()))
    for name, channel in (("i2", "notify"), ("i3", "return")):
        assert await desk.run(verified(), name, channel) == stage_result.Drop("joined")
    assert await desk.hint() == stage_result.Drop("joined")
    assert len(desk.vendor.reads) == 1


async def test_when_the_decision_is_out_nothing_is_left_to_do() -> None:
    desk = Desk()
    await desk.run(verified())
    await desk.redis.hset(KEY, "published", "id")
    for result in (await desk.run(verified()), await desk.run(verified(), "i2"), await desk.hint()):
        assert result == stage_result.Drop("decided")


async def test_an_item_that_comes_again_after_its_workers_death_goes_on_without_another_read() -> None:
    desk = Desk()
    first, again = forwarded(await desk.run(verified())), forwarded(await desk.run(verified()))
    assert first.raw == again.raw
    assert len(desk.vendor.reads) == 1


async def test_when_the_carrier_has_died_the_next_arrival_carries_on_with_its_evidence() -> None:
    desk = Desk()
    await desk.run(verified())
    await desk.release()
    assert forwarded(await desk.run(verified(), "i2")).raw == PASS.raw.decode()
    assert await desk.run(verified()) == stage_result.Drop("joined")
    assert len(desk.vendor.reads) == 1


async def test_channels_are_those_heard_from_when_the_evidence_came() -> None:
    desk = Desk()

    async def meanwhile() -> None:
        assert await desk.run(verified(), "i2", "return") == stage_result.Drop("joined")

    desk.vendor.meanwhile = meanwhile
    assert forwarded(await desk.run(verified())).channels == ("notify", "return")


@pytest.mark.parametrize("code", ["RESULT_NOT_FOUND", "DATA_DESTROYED"])
async def test_signed_evidence_that_getresult_refuses_is_decided_at_once(code: str) -> None:
    value = forwarded(await Desk(Refused(code)).run(verified()))
    assert (value.raw, value.result, value.refusal, value.reconcile) == ("", None, code, True)


async def test_signed_evidence_is_decided_when_the_budget_is_spent() -> None:
    desk = Desk(Failed("TIMEOUT"))
    value = forwarded(await desk.run(verified()))
    assert (value.result, value.refusal) == (None, "BUDGET_SPENT")
    assert len(desk.vendor.reads) == 3


async def test_answers_that_decide_nothing_are_read_again_within_the_budget() -> None:
    desk = Desk(PROCESSING, Answered(b"<html>"), PASS)
    assert forwarded(await desk.run(verified())).raw == PASS.raw.decode()
    assert len(desk.vendor.reads) == 3


async def test_a_vendor_who_never_says_the_end_leaves_the_signed_evidence() -> None:
    desk = Desk(PROCESSING)
    assert forwarded(await desk.run(verified())).refusal == "BUDGET_SPENT"
    assert len(desk.vendor.reads) == 3


async def test_after_a_failed_read_the_item_waits_and_spends_no_attempt() -> None:
    desk = Desk(Failed("TIMEOUT"), rests=(60.0,))
    waiting = await desk.run(verified())
    assert isinstance(waiting, stage_result.Delay)
    assert (waiting.why, waiting.attempt, round(waiting.seconds)) == ("read_spacing", False, 60)
    assert len(desk.vendor.reads) == 1


async def test_an_outage_of_the_vendor_costs_no_read_and_no_attempt() -> None:
    desk = Desk(Unread("AUTHENTICATION_ERROR", 30.0))
    assert await desk.run(verified()) == stage_result.Delay(30.0, "AUTHENTICATION_ERROR")
    assert await desk.redis.hget(KEY, "reads") == b"0"


async def test_nobody_waits_longer_for_a_result_than_the_vendor_keeps_it() -> None:
    desk = Desk(Unread("AUTHENTICATION_ERROR", 30.0))
    assert await desk.run(verified()) == stage_result.Delay(30.0, "AUTHENTICATION_ERROR")
    desk.clock.now += RESULT_KEPT_SECONDS
    assert isinstance(await desk.run(verified()), stage_result.Delay)
    desk.clock.now += 1
    assert forwarded(await desk.run(verified())).refusal == "RESULT_EXPIRED"


@pytest.mark.parametrize("status", ["CANCELLED", "TIMEOUT", "FAILED", "WEBRTC_UNSUPPORTED", "EXPLODED"])
async def test_every_end_of_a_flow_is_carried(status: str) -> None:
    forwarded(await Desk(answered(status=status)).run(verified(status=status)))


# An account that trusts its callbacks


async def test_where_getresult_is_never_asked_the_callback_goes_on_alone() -> None:
    desk = Desk(account=TRUSTING)
    value = forwarded(await desk.run(verified()))
    assert (value.result, value.refusal, value.reconcile, value.channels) == (None, None, False, ("notify",))
    assert await desk.run(verified(), "i2") == stage_result.Drop("joined")
    assert desk.vendor.reads == []


async def test_where_getresult_is_never_asked_open_cases_and_hints_are_nothing() -> None:
    desk = Desk(account=TRUSTING)
    assert await desk.run(verified(status="PROCESSING")) == stage_result.Drop("nothing_to_decide_on")
    assert await desk.hint() == stage_result.Drop("nothing_to_decide_on")


# Unfinished flows


@pytest.mark.parametrize("status", ["NOT_STARTED", "PROCESSING"])
async def test_an_unfinished_flow_is_looked_at_once_when_its_token_must_have_expired(status: str) -> None:
    desk = Desk()
    assert await desk.run(verified(status=status)) == stage_result.Delay(TOKEN_LIFE - 10, "open_case")
    assert desk.vendor.reads == []
    desk.clock.now = BORN + TOKEN_LIFE
    assert forwarded(await desk.run(verified(status=status))).raw == PASS.raw.decode()
    assert len(desk.vendor.reads) == 1


async def test_a_flow_that_never_finished_is_dropped_after_its_look() -> None:
    desk = Desk(PROCESSING)
    desk.clock.now = BORN + TOKEN_LIFE
    assert await desk.run(verified(status="PROCESSING")) == stage_result.Drop("never_finished")
    assert len(desk.vendor.reads) == 1


async def test_an_unfinished_flow_whose_result_is_gone_is_decided_on_what_was_signed() -> None:
    desk = Desk(Refused("DATA_DESTROYED"))
    desk.clock.now = BORN + TOKEN_LIFE
    assert forwarded(await desk.run(verified(status="PROCESSING"))).refusal == "DATA_DESTROYED"


async def test_final_evidence_takes_the_case_from_an_unfinished_one() -> None:
    desk = Desk()
    await desk.run(verified(status="PROCESSING"))
    forwarded(await desk.run(verified(), "final"))
    desk.clock.now = BORN + TOKEN_LIFE
    assert await desk.run(verified(status="PROCESSING")) == stage_result.Drop("joined")
    assert len(desk.vendor.reads) == 1


async def test_an_outage_postpones_the_look() -> None:
    desk = Desk(Unread("NO_CONNECTION"))
    desk.clock.now = BORN + TOKEN_LIFE
    assert await desk.run(verified(status="PROCESSING")) == stage_result.Delay(1.0, "NO_CONNECTION")


# Hints


async def test_a_hint_gives_a_signed_callback_its_time_and_is_then_worth_a_read() -> None:
    desk = Desk()
    assert await desk.hint() == stage_result.Delay(HINT, "open_case")
    assert desk.vendor.reads == []
    desk.clock.now += HINT
    value = forwarded(await desk.hint())
    assert value.verified == unsigned()
    assert (value.raw, value.channels) == (PASS.raw.decode(), ("return",))


async def test_a_hint_decides_nothing_when_there_is_no_result() -> None:
    desk = Desk(Refused("RESULT_NOT_FOUND"))
    desk.clock.now += HINT
    assert await desk.hint() == stage_result.Drop("unsigned_without_result")


async def test_a_hint_never_spends_the_last_read() -> None:
    desk = Desk(Failed("TIMEOUT"), Failed("TIMEOUT"), PASS)
    desk.clock.now += HINT
    assert await desk.hint() == stage_result.Drop("unsigned_without_result")
    assert len(desk.vendor.reads) == 2
    assert forwarded(await desk.run(verified())).raw == PASS.raw.decode()


async def test_a_hint_to_a_flow_under_way_looks_again_when_its_token_must_have_expired() -> None:
    desk = Desk(PROCESSING, PROCESSING, PASS)
    desk.clock.now += HINT
    assert await desk.hint() == stage_result.Delay(TOKEN_LIFE - 10 - HINT, "open_case")
    desk.clock.now = BORN + TOKEN_LIFE
    assert await desk.hint() == stage_result.Drop("never_finished")
    assert len(desk.vendor.reads) == 2


async def test_a_hint_that_gave_up_does_not_keep_an_unfinished_flow_from_being_looked_at() -> None:
    desk = Desk(Refused("RESULT_NOT_FOUND"))
    desk.clock.now += HINT
    await desk.hint()
    looking = await desk.run(verified(status="PROCESSING"))
    assert isinstance(looking, stage_result.Delay)
    assert looking.why == "open_case"


async def test_a_second_hint_joins_the_first() -> None:
    desk = Desk()
    await desk.hint()
    assert await desk.hint("another") == stage_result.Drop("joined")


# Who reads at once


async def test_of_many_items_at_once_one_reads_and_the_others_are_done() -> None:
    desk = Desk()
    results = await asyncio.gather(*(desk.run(verified(), f"i{number}") for number in range(50)))
    kinds = [type(result).__name__ for result in results]
    assert (kinds.count("Forward"), kinds.count("Drop")) == (1, 49)
    assert len(desk.vendor.reads) == 1


async def test_a_hint_and_a_signed_item_at_once_make_one_read() -> None:
    desk = Desk()
    desk.clock.now += HINT
    desk.vendor.gate.clear()
    looking = asyncio.create_task(desk.hint())
    while not desk.vendor.reads:  # noqa: ASYNC110 - the read begins within this loop's own turns
        await asyncio.sleep(0)
    waiting = await desk.run(verified())
    assert isinstance(waiting, stage_result.Delay)
    assert waiting.why == "read_spacing"
    desk.vendor.gate.set()
    assert forwarded(await looking).raw == forwarded(await desk.run(verified())).raw
    assert len(desk.vendor.reads) == 1


# What goes wrong


async def test_an_account_that_this_worker_does_not_know_is_dead() -> None:
    envelope = Envelope("i1", "stranger", "notify", "POST", 1.0, b"")
    result = await Desk().stage.run(envelope, verified())
    assert isinstance(result, stage_result.DeadLetter)
    assert result.reason == "unknown_account"


async def test_a_ledger_that_is_away_is_for_the_runner_to_handle() -> None:
    desk = Desk()
    desk.redis.connection_pool.connection_kwargs["server"].connected = False
    with pytest.raises(RedisConnectionError):
        await desk.run(verified())
    assert desk.vendor.reads == []


@pytest.mark.parametrize(
    ("biz_id", "received_at", "birth"),
    [
        ("1462259748,52b13fb5", 1462259800.0, 1462259748.0),
        ("1462259748", 1462259800.0, 1462259748.0),
        ("1462259748,52b13fb5", 1462250000.0, 1462250000.0),  # no token is younger than its callback
        ("99999999999999999999,x", 5.0, 5.0),
        ("52b13fb5", 5.0, 5.0),
        ("-1,x", 5.0, 5.0),
        ("٣,x", 5.0, 5.0),
        (",x", 5.0, 5.0),
    ],
)
def test_a_token_is_as_old_as_its_biz_id_says_where_that_can_be(biz_id: str, received_at: float, birth: float) -> None:
    assert token_issued_at(biz_id, received_at) == birth


def test_what_is_handed_on_comes_back_from_a_message() -> None:
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


def test_a_hint_without_an_answer_comes_back_as_well() -> None:
    value = ReconciledCase(unsigned(), "", None, "DATA_DESTROYED", True, ())
    assert ReconciledCase.load(value.dump()) == value
