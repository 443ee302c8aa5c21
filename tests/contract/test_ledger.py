"""The ledger with many workers at once, lost replies and lost scripts: on fakeredis and on a real server."""

import asyncio
import json
import math
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from itertools import count
from typing import Any, cast

import pytest
from redis import Redis
from redis.exceptions import OutOfMemoryError, ResponseError

from shared.ledger.case_key import CaseKey, release_command
from shared.ledger.ledger import MAX_RECORDED_ARRIVALS, Arrival, Ledger, Limits, ReadPermit
from shared.ledger.message_set import MessageSet
from shared.messaging.stored_message import StoredMessage
from tests.support.case_texts import text
from tests.support.redis_clients import open_async_redis, open_redis, server_time
from tests.support.servers import RedisServer

CASE = CaseKey("default", "1462259748,52b13fb5-8dfb-4537-a62b-a641d5e929f1")
KEY = "p:case:{default}:1462259748,52b13fb5-8dfb-4537-a62b-a641d5e929f1"
ACCOUNT = "p:account:{default}"
DAY = 86_400.0
LIMITS = Limits(retention=30 * DAY, breaker_pause=15.0, unsigned_ttl=600.0, unsigned_cases=20, unsigned_reads=5)
EVERY_BYTE = bytes(range(256))
WORKERS = 5


@pytest.fixture
def redis(any_redis_url: str) -> "Iterator[Redis]":
    with open_redis(any_redis_url) as client:
        yield client


@pytest.fixture
async def ledgers(any_redis_url: str) -> AsyncIterator[list[Ledger]]:
    """One for each of several workers, each with connections of its own."""
    clients = [open_async_redis(any_redis_url) for _ in range(WORKERS)]
    yield [Ledger(client, "p", LIMITS) for client in clients]
    for client in clients:
        await client.aclose()


@pytest.fixture
def ledger(ledgers: list[Ledger]) -> Ledger:
    return ledgers[0]


read_ids = map("read-{}".format, count())


async def arrive(ledger: Ledger, item: str = "item", case: CaseKey = CASE, **facts: Any) -> Arrival:
    """A signed, final notify, unless `facts` say otherwise."""
    channel = facts.pop("channel", "notify")
    return await ledger.arrive(
        case,
        item,
        channel,
        **{"fingerprint": "g", "data": "{}", "biz_no": "", "received_at": 1.5, "secret": "0", **facts},
    )


async def unsigned_return(ledger: Ledger, item: str = "unsigned", case: CaseKey = CASE) -> Arrival:
    return await arrive(ledger, item, case, channel="return", fingerprint="", secret="")


async def reserve_read(ledger: Ledger, read_id: str | None = None, **terms: Any) -> ReadPermit:
    """For signed evidence, with a budget of three reads and no pauses, unless `terms` say otherwise."""
    return await ledger.reserve_read(
        CASE, read_id or next(read_ids), **{"allowed": 3, "read_timeout": 40.0, "spacing": (0.0,), **terms}
    )


async def finish_read(ledger: Ledger, read_id: str, how: Any = "failed", value: bytes | str = "TIMEOUT") -> Any:
    return await ledger.finish_read(CASE, read_id, how, value, 2.5)


async def commit(ledger: Ledger, decision: bytes, item: str = "i1") -> tuple[bytes, bool]:
    """The decision in force, and whether it is published."""
    committed = await ledger.commit(CASE, decision, item=item)
    assert committed is not None
    return committed[:2]


async def crowd(ledgers: list[Ledger], call: Callable[[Ledger, int], Awaitable[Any]], size: int = 50) -> list[Any]:
    """All at once, over all workers."""
    return await asyncio.gather(*(call(ledgers[number % len(ledgers)], number) for number in range(size)))


def case(redis: "Redis") -> dict[str, str]:
    found = cast("dict[bytes, bytes]", redis.hgetall(KEY))
    return {name.decode(): value.decode("latin-1") for name, value in found.items()}


def milliseconds(redis: "Redis") -> int:
    """The server's clock."""
    seconds, microseconds = redis.time()
    return int(seconds) * 1000 + int(microseconds) // 1000


def outbox(redis: "Redis") -> list[StoredMessage]:
    return list(MessageSet(redis, "p", "outbox"))


# Arrivals


async def test_a_case_of_a_newer_version_is_left_alone(ledger: Ledger, redis: "Redis") -> None:
    redis.hset(ledger.key(CASE), "v", "2")
    with pytest.raises(ResponseError, match="newer version"):
        await arrive(ledger)
    with pytest.raises(ResponseError, match="newer version"):
        await ledger.commit(CASE, b"{}", item="item")
    assert redis.hgetall(ledger.key(CASE)) == {b"v": b"2"}


async def test_of_many_signed_items_at_once_one_owns_the_case(ledgers: list[Ledger], redis: "Redis") -> None:
    arrivals = await crowd(ledgers, lambda ledger, number: arrive(ledger, f"item-{number}"))
    assert Counter(arrival.verdict for arrival in arrivals) == {"own": 1, "joined": 49}
    assert case(redis)["count:notify"] == "50"


async def test_of_many_unsigned_returns_at_once_one_rechecks_the_case(ledgers: list[Ledger]) -> None:
    arrivals = await crowd(ledgers, lambda ledger, number: unsigned_return(ledger, f"item-{number}"))
    assert Counter(arrival.verdict for arrival in arrivals) == {"recheck": 1, "joined": 49}


async def test_an_item_that_arrives_again_counts_once_and_gets_the_same_verdict(
    ledgers: list[Ledger], redis: "Redis"
) -> None:
    arrivals = await crowd(ledgers, lambda ledger, _: arrive(ledger))
    assert {arrival.verdict for arrival in arrivals} == {"own"}
    assert case(redis)["count:notify"] == "1"


async def test_an_arrival_returns_the_channels_seen_so_far(ledger: Ledger) -> None:
    assert (await arrive(ledger, "a", channel="return")).channels == ("return",)
    assert (await arrive(ledger, "b", channel="notify")).channels == ("notify", "return")


async def test_one_signed_and_one_unsigned_item_recheck_an_open_case(ledger: Ledger) -> None:
    assert (await unsigned_return(ledger)).verdict == "recheck"
    assert (await arrive(ledger, "signed", fingerprint="")).verdict == "recheck"
    assert (await unsigned_return(ledger, "another")).verdict == "joined"
    assert (await arrive(ledger, "another signed", fingerprint="")).verdict == "joined"
    assert [(await unsigned_return(ledger)).verdict, (await arrive(ledger, "signed", fingerprint="")).verdict] == [
        "recheck",
        "recheck",
    ]


async def test_a_signed_final_item_takes_the_case_from_items_that_recheck_it(ledger: Ledger) -> None:
    await unsigned_return(ledger)
    assert (await arrive(ledger, "signed", fingerprint="")).verdict == "recheck"
    assert (await arrive(ledger, "final")).verdict == "own"
    assert [(await unsigned_return(ledger)).verdict, (await arrive(ledger, "signed", fingerprint="")).verdict] == [
        "joined",
        "joined",
    ]


async def test_a_decided_case_is_owned_until_its_decision_is_published(ledger: Ledger, redis: "Redis") -> None:
    await arrive(ledger)
    await ledger.commit(CASE, b"{}", item="i1")
    assert (await arrive(ledger)).verdict == "own"
    redis.hset(KEY, "published", "id")
    assert [(await arrive(ledger, "i2")).verdict, (await unsigned_return(ledger)).verdict] == ["decided", "decided"]
    assert (await arrive(ledger)).verdict == "own"  # after a crash it judges its evidence again, and publishes nothing


async def test_another_item_may_own_the_case_after_its_owner_became_a_dead_letter(
    ledger: Ledger, redis: "Redis"
) -> None:
    for first, second in (("owner", "other"), ("other", "third")):
        assert (await arrive(ledger, first)).verdict == "own"
        redis.execute_command(*release_command("p", CASE))
        assert (await arrive(ledger, second)).verdict == "own"
        assert (await arrive(ledger, first)).verdict == "joined"
    redis.execute_command(*release_command("p", CASE))
    assert [(await unsigned_return(ledger)).verdict, (await arrive(ledger, "s", fingerprint="")).verdict] == [
        "recheck",
        "recheck",
    ]


async def test_other_items_may_recheck_the_case_after_its_items_became_dead_letters(
    ledger: Ledger, redis: "Redis"
) -> None:
    await unsigned_return(ledger)
    await arrive(ledger, "signed", fingerprint="")
    redis.execute_command(*release_command("p", CASE))
    assert (await unsigned_return(ledger, "another")).verdict == "recheck"
    assert (await arrive(ledger, "another signed", fingerprint="")).verdict == "recheck"


async def test_arrivals_are_recorded_up_to_a_limit_and_then_only_counted(ledger: Ledger, redis: "Redis") -> None:
    for number in range(MAX_RECORDED_ARRIVALS + 10):
        await arrive(ledger, f"item-{number}")
    noted = [name for name in case(redis) if name.startswith("arrival:")]
    assert len(noted) == MAX_RECORDED_ARRIVALS
    assert case(redis)["count:notify"] == str(MAX_RECORDED_ARRIVALS + 10)
    assert case(redis)["arrival:item-0"] == "notify|1.5|0"


async def test_a_case_is_found_by_the_customers_own_number(ledger: Ledger, redis: "Redis") -> None:
    await arrive(ledger, biz_no="Überweisung 7:{x}")
    await arrive(ledger, "another", biz_no="8")
    assert redis.get("p:biz_no:{default}:Überweisung 7:{x}") == CASE.biz_id.encode()
    assert case(redis)["biz_no"].encode("latin-1").decode() == "Überweisung 7:{x}"


async def test_cases_of_accounts_and_odd_ids_are_kept_apart(ledger: Ledger, redis: "Redis") -> None:
    keys = [CaseKey("a", "1"), CaseKey("b", "1"), CaseKey("a", "1:2"), CaseKey("a", "*"), CaseKey("a", "{1}")]
    assert {(await arrive(ledger, case=key)).verdict for key in keys} == {"own"}
    assert len(redis.keys("p:case:*")) == len(keys)


# What lives how long


async def test_a_signed_case_is_kept_for_the_retention_time(ledger: Ledger, redis: "Redis") -> None:
    await arrive(ledger, biz_no="n1")
    for key in (KEY, "p:biz_no:{default}:n1"):
        assert 29.9 * DAY < redis.ttl(key) <= 30 * DAY
    assert all(redis.ttl(key) > 0 for key in redis.keys("p:*")), "the counters too"


async def test_a_case_with_unsigned_returns_only_expires_soon_unless_a_signed_item_arrives(
    ledger: Ledger, redis: "Redis"
) -> None:
    await unsigned_return(ledger)
    assert 590 < redis.ttl(KEY) <= 600
    redis.expire(KEY, 100)
    await unsigned_return(ledger, "another")
    assert redis.ttl(KEY) <= 100
    await arrive(ledger)
    assert redis.ttl(KEY) > 29 * DAY


async def test_the_count_of_reads_outlives_the_result_at_faceid(ledger: Ledger, redis: "Redis") -> None:
    await unsigned_return(ledger)
    await reserve_read(ledger)
    assert DAY - 10 < redis.ttl(KEY) <= DAY


@pytest.mark.parametrize("how", ["answered", "refused", "unusable", "given_back", "failed"])
async def test_a_read_that_finishes_after_its_case_expired_leaves_no_key_without_ttl(
    how: str, ledger: Ledger, redis: "Redis"
) -> None:
    await reserve_read(ledger, "late")
    redis.delete(KEY)
    await finish_read(ledger, "late", how)
    keys = [key.decode() for key in cast("list[bytes]", redis.keys("p:*"))]
    kept = {key: redis.ttl(key) for key in keys if not key.startswith("p:outbox")}
    assert set(kept) == ({KEY} if how in {"answered", "refused", "unusable"} else {ACCOUNT})
    assert all(seconds > 0 for seconds in kept.values())


async def test_a_decided_case_is_kept_for_the_retention_time(ledger: Ledger, redis: "Redis") -> None:
    for _ in range(2):
        redis.persist(KEY)
        await ledger.commit(CASE, b"{}", item="i1")
        assert 29.9 * DAY < redis.ttl(KEY) <= 30 * DAY
    assert all(redis.ttl(key) > 0 for key in redis.keys("p:*"))


async def test_a_read_does_not_shorten_the_life_of_its_case(ledger: Ledger, redis: "Redis") -> None:
    await arrive(ledger)
    await reserve_read(ledger, "f")
    await finish_read(ledger, "f")
    assert redis.ttl(KEY) > 29 * DAY


# Reads


async def test_of_many_reads_asked_for_at_once_exactly_one_is_permitted(ledgers: list[Ledger], redis: "Redis") -> None:
    permits = await crowd(ledgers, lambda ledger, _: reserve_read(ledger))
    assert Counter(permit.verdict for permit in permits) == {"go": 1, "wait": 49}
    waits = {permit.code for permit in permits if permit.verdict == "wait"}
    assert (waits, case(redis)["reads"]) == ({"read_spacing"}, "1")
    assert all(0 < permit.seconds <= 40 for permit in permits if permit.verdict == "wait")


async def test_many_workers_that_fail_often_make_three_reads_in_all(ledgers: list[Ledger]) -> None:
    numbers: list[int] = []

    async def insist(ledger: Ledger, number: int) -> None:
        for attempt in count():
            permit = await reserve_read(ledger, f"{number}.{attempt}")
            if permit.verdict == "spent":
                return
            if permit.verdict == "go":
                numbers.append(permit.number)
                await finish_read(ledger, f"{number}.{attempt}")

    await crowd(ledgers, insist, 20)
    assert sorted(numbers) == [1, 2, 3]


async def test_a_read_that_was_given_back_may_be_made_again(ledgers: list[Ledger], redis: "Redis") -> None:
    for number in range(10):
        permit = await reserve_read(ledgers[number % WORKERS], f"f{number}", spacing=(60.0,))
        assert (permit.verdict, permit.number) == ("go", 1)
        await finish_read(ledgers[0], f"f{number}", "given_back", "CONCURRENCY_LIMIT_EXCEEDED")
        redis.delete(ACCOUNT)
    assert case(redis)["reads"] == "0"


async def test_a_read_asked_for_again_after_a_lost_reply_is_the_same_read(ledger: Ledger, redis: "Redis") -> None:
    answers = [await reserve_read(ledger, "same", unsigned=True, allowed=2) for _ in range(3)]
    assert {(answer.verdict, answer.number) for answer in answers} == {("go", 1)}
    assert case(redis)["reads"] == "1"
    assert redis.get("p:unsigned_reads:{default}") == b"1"


@pytest.mark.parametrize(
    ("how", "reads"), [("given_back", "0"), ("refused", "0"), ("unusable", "1"), ("failed", "1"), ("answered", "1")]
)
async def test_a_read_finished_again_after_a_lost_reply_counts_once(
    how: str, reads: str, ledger: Ledger, redis: "Redis"
) -> None:
    await reserve_read(ledger, "same")
    for _ in range(3):
        await finish_read(ledger, "same", how, "x")
    assert case(redis)["reads"] == reads
    assert "read_id" not in case(redis)


async def test_after_an_unusable_answer_nothing_is_read_again(ledger: Ledger) -> None:
    await reserve_read(ledger, "f")
    await finish_read(ledger, "f", "unusable", "ANSWER_TOO_LARGE")
    assert await reserve_read(ledger) == ReadPermit("refused", code="ANSWER_TOO_LARGE")


async def test_a_read_that_never_finishes_times_out_and_stays_counted(ledger: Ledger) -> None:
    assert (await reserve_read(ledger, "lost", read_timeout=0.0)).verdict == "go"
    after = await reserve_read(ledger)
    assert (after.verdict, after.number) == ("go", 2)


async def test_a_read_that_timed_out_is_not_given_back_and_ends_no_other_read(ledger: Ledger, redis: "Redis") -> None:
    await reserve_read(ledger, "slow", read_timeout=0.0)
    await reserve_read(ledger, "second")
    await finish_read(ledger, "slow", "given_back")
    assert (case(redis)["reads"], case(redis)["read_id"]) == ("2", "second")


async def test_finishing_a_read_that_timed_out_returns_none(ledger: Ledger) -> None:
    await reserve_read(ledger, "slow", read_timeout=0.0, allowed=1)
    assert (await reserve_read(ledger, allowed=1)).verdict == "spent"
    assert await finish_read(ledger, "slow", "answered", b"late") is None
    assert (await reserve_read(ledger)).raw == b"late"


async def test_the_first_answer_is_kept_whichever_read_returned_it(ledger: Ledger) -> None:
    await reserve_read(ledger, "slow", read_timeout=0.0)
    await reserve_read(ledger, "second")
    await finish_read(ledger, "slow", "answered", b"first")
    await finish_read(ledger, "second", "answered", b"second")
    assert (await reserve_read(ledger)).raw == b"first"


@pytest.mark.parametrize("raw", [EVERY_BYTE, b"", b"\r\n$-1\r\n", b"x" * 100_000])
async def test_a_stored_answer_comes_back_byte_for_byte_instead_of_a_read(raw: bytes, ledger: Ledger) -> None:
    await reserve_read(ledger, "f")
    await finish_read(ledger, "f", "answered", raw)
    assert await reserve_read(ledger, allowed=0) == ReadPermit("stored", raw=raw)


async def test_a_refused_read_is_never_repeated(ledger: Ledger) -> None:
    await reserve_read(ledger, "f")
    await finish_read(ledger, "f", "refused", "DATA_DESTROYED")
    await finish_read(ledger, "slow", "refused", "RESULT_NOT_FOUND")
    assert await reserve_read(ledger) == ReadPermit("refused", code="DATA_DESTROYED")


async def test_an_answer_that_was_set_aside_allows_another_read(ledger: Ledger, redis: "Redis") -> None:
    await reserve_read(ledger, "f")
    await finish_read(ledger, "f", "answered", EVERY_BYTE)
    assert case(redis)["raw_at"] == "2.5"
    await ledger.set_aside(CASE, b"another answer")
    assert (await reserve_read(ledger)).verdict == "stored"
    for _ in range(2):
        await ledger.set_aside(CASE, EVERY_BYTE)
    assert (await reserve_read(ledger)).number == 2
    assert text(redis.hgetall(KEY), "set_aside") == EVERY_BYTE
    assert not redis.hexists(KEY, "raw_at")


async def test_there_is_a_pause_after_each_read_and_the_last_pause_repeats(ledger: Ledger, redis: "Redis") -> None:
    rests = []
    for number in range(4):
        assert (await reserve_read(ledger, f"f{number}", spacing=(20.0, 40.0), allowed=9)).verdict == "go"
        await finish_read(ledger, f"f{number}")
        rests.append((await reserve_read(ledger, spacing=(20.0, 40.0), allowed=9)).seconds)
        redis.hdel(KEY, "next_read_at")
    assert [10 * math.ceil(rest / 10) for rest in rests] == [20, 40, 40, 40], "less the time that has passed since"


@pytest.mark.parametrize("allowed", [0, 1, 2, 3])
async def test_no_more_reads_than_are_allowed(allowed: int, ledger: Ledger) -> None:
    for number in range(allowed):
        assert (await reserve_read(ledger, f"f{number}", allowed=allowed)).verdict == "go"
        await finish_read(ledger, f"f{number}")
    assert await reserve_read(ledger, allowed=allowed) == ReadPermit("spent", number=allowed)


async def test_finishing_a_read_returns_the_channels_seen_meanwhile(ledger: Ledger) -> None:
    await arrive(ledger, "a")
    await reserve_read(ledger, "f")
    await arrive(ledger, "b", channel="return")
    assert await finish_read(ledger, "f", "answered", b"{}") == ("notify", "return")


# Decisions


async def test_of_many_decisions_at_once_all_callers_get_the_first(ledgers: list[Ledger]) -> None:
    answers = await crowd(ledgers, lambda ledger, number: ledger.commit(CASE, b"decision %d" % number, item="i1"))
    assert len(set(answers)) == 1
    ((current, published, _),) = set(answers)
    assert current.startswith(b"decision ")
    assert not published


async def test_commit_returns_the_first_decision_byte_for_byte_and_whether_it_is_published(
    ledger: Ledger, redis: "Redis"
) -> None:
    assert await commit(ledger, EVERY_BYTE) == (EVERY_BYTE, False)
    redis.hset(KEY, "published", "id")
    assert await commit(ledger, b"another") == (EVERY_BYTE, True)


# Evidence that contradicts


async def test_contradicting_evidence_raises_one_alert_for_each_fingerprint(
    ledgers: list[Ledger], redis: "Redis"
) -> None:
    await arrive(ledgers[0], "first", fingerprint="PASS")
    await crowd(
        ledgers, lambda ledger, number: arrive(ledger, f"i{number}", fingerprint=("PASS", "FAIL", "MASK")[number % 3])
    )
    alerts = outbox(redis)
    assert [(stored.reason, stored.account, stored.biz_id) for stored in alerts] == [
        ("evidence_conflict", "default", CASE.biz_id)
    ] * 2
    assert len({stored.id for stored in alerts}) == 2


async def test_new_signed_evidence_owns_the_case_even_after_its_decision(ledger: Ledger, redis: "Redis") -> None:
    await unsigned_return(ledger)
    await ledger.commit(CASE, b"{}", item="unsigned")
    redis.hset(KEY, "published", "id")
    both = ("notify", "return")
    assert (await arrive(ledger, "pass", fingerprint="PASS", data="p")) == Arrival("own", both)
    assert (await arrive(ledger, "fail", fingerprint="FAIL", data="f")) == Arrival("own", both, ("p", "f"))
    assert (await arrive(ledger, "fail", fingerprint="FAIL", data="f")).texts == ("p", "f")
    for fingerprint in ("PASS", "FAIL"):
        assert (await arrive(ledger, "copy", fingerprint=fingerprint)).verdict == "decided"


async def test_only_the_owner_commits_the_first_decision(ledger: Ledger) -> None:
    await unsigned_return(ledger)
    await arrive(ledger, "pass", fingerprint="PASS")
    assert await ledger.commit(CASE, b"unsigned", item="unsigned") is None
    await arrive(ledger, "fail", fingerprint="FAIL")
    assert await ledger.commit(CASE, b"pass", item="pass") is None
    assert await commit(ledger, b"both", item="fail") == (b"both", False)
    assert await commit(ledger, b"pass", item="pass") == (b"both", False)


async def test_the_first_signed_evidence_that_contradicts_a_decision_raises_one_alert(
    ledgers: list[Ledger], redis: "Redis"
) -> None:
    await ledgers[0].commit(CASE, b"{}", item="unsigned")
    await arrive(ledgers[0], "first", fingerprint="FAIL")
    await crowd(ledgers, lambda ledger, _: ledger.raise_conflict(CASE, "first", "notify"))
    assert [(stored.reason, stored.biz_id) for stored in outbox(redis)] == [("evidence_conflict", CASE.biz_id)]
    await arrive(ledgers[0], "second", fingerprint="PASS")
    await ledgers[0].raise_conflict(CASE, "second", "notify")
    assert len(outbox(redis)) == 1


async def test_later_evidence_raises_its_alert_on_arrival_and_not_again(ledger: Ledger, redis: "Redis") -> None:
    await arrive(ledger, "first", fingerprint="PASS", data="p")
    await arrive(ledger, "second", fingerprint="FAIL", data="f")
    await ledger.raise_conflict(CASE, "second", "notify")
    assert len(outbox(redis)) == 1


async def test_unsigned_returns_and_unfinished_flows_raise_no_conflict(ledger: Ledger, redis: "Redis") -> None:
    await arrive(ledger, "first", fingerprint="PASS")
    await unsigned_return(ledger)
    await arrive(ledger, "unfinished", fingerprint="")
    assert outbox(redis) == []


# Limits of unsigned returns


async def test_unsigned_returns_over_the_limit_of_cases_leave_no_trace(ledger: Ledger, redis: "Redis") -> None:
    verdicts = [(await unsigned_return(ledger, case=CaseKey("default", str(number)))).verdict for number in range(30)]
    assert verdicts == ["recheck"] * LIMITS.unsigned_cases + ["rate_limited"] * 10
    assert len(redis.keys("p:case:*")) == LIMITS.unsigned_cases
    assert 0 < redis.ttl("p:unsigned_cases:{default}") <= 60
    assert (await unsigned_return(ledger, "again", CaseKey("default", "0"))).verdict == "joined"
    assert (await unsigned_return(ledger, case=CaseKey("other", "1"))).verdict == "recheck"
    assert (await arrive(ledger)).verdict == "own"


async def test_unsigned_reads_are_limited_and_signed_reads_go_on(ledger: Ledger, redis: "Redis") -> None:
    async def read_unsigned(number: int) -> str:
        key = CaseKey("default", str(number))
        return (
            await ledger.reserve_read(key, "f", allowed=3, read_timeout=40.0, spacing=(0.0,), unsigned=True)
        ).verdict

    assert [await read_unsigned(number) for number in range(LIMITS.unsigned_reads)] == ["go"] * LIMITS.unsigned_reads
    assert 0 < redis.ttl("p:unsigned_reads:{default}") <= 60
    assert await read_unsigned(99) == "rate_limited"
    assert not redis.exists("p:case:{default}:99")
    assert (await reserve_read(ledger)).verdict == "go"
    redis.delete("p:unsigned_reads:{default}")  # the minute is over
    assert await read_unsigned(99) == "go"


# The breaker


async def call(ledger: Ledger, number: int, how: Any, code: str = "AUTHENTICATION_ERROR") -> ReadPermit:
    """A read of a case of its own, with its end when it went."""
    key, read_id = CaseKey("default", f"call-{number}"), f"call-{number}"
    permit = await ledger.reserve_read(key, read_id, allowed=3, read_timeout=1.0, spacing=(0.0,))
    if permit.verdict == "go":
        await ledger.finish_read(key, read_id, how, code, 1.0)
    return permit


async def test_failed_calls_open_the_breaker_and_raise_one_alert(ledger: Ledger, redis: "Redis") -> None:
    for number in range(3):
        assert (await call(ledger, number, "given_back")).verdict == "go"
    paused = await call(ledger, 3, "given_back")
    assert (paused.verdict, paused.code) == ("wait", "breaker_open")
    (alert,) = outbox(redis)
    assert (alert.reason, alert.account, alert.detail) == ("breaker_opened", "default", "AUTHENTICATION_ERROR")


async def test_an_open_breaker_is_probed_by_one_call_at_a_time(ledgers: list[Ledger], redis: "Redis") -> None:
    for number in range(3):
        await call(ledgers[0], number, "given_back")
    redis.hset(ACCOUNT, "open_until", 1)
    probes = await crowd(
        ledgers,
        lambda ledger, number: ledger.reserve_read(
            CaseKey("default", f"p{number}"), f"p{number}", allowed=3, read_timeout=40.0, spacing=(0.0,)
        ),
    )
    assert Counter(probe.verdict for probe in probes) == {"go": 1, "wait": 49}
    assert all(probe.seconds <= 1 for probe in probes), "the result of a probe is asked for every second"
    assert {probe.code for probe in probes if probe.verdict == "wait"} == {"breaker_open"}


@pytest.mark.parametrize("how", ["answered", "refused", "unusable"])
async def test_an_answer_closes_the_breaker_and_raises_an_alert(how: str, ledger: Ledger, redis: "Redis") -> None:
    for number in range(3):
        await call(ledger, number, "given_back")
    redis.hset(ACCOUNT, "open_until", 1)
    assert (await call(ledger, 3, how, "RESULT_NOT_FOUND")).verdict == "go"
    assert [alert.reason for alert in outbox(redis)] == ["breaker_opened", "breaker_closed"]
    assert not redis.exists(ACCOUNT)
    assert (await call(ledger, 4, "answered", "{}")).verdict == "go"


async def test_a_failed_probe_opens_the_breaker_for_longer_without_another_alert(
    ledger: Ledger, redis: "Redis"
) -> None:
    for number in range(3):
        await call(ledger, number, "given_back")
    waits = []
    for number in range(3, 6):
        redis.hset(ACCOUNT, "open_until", 1)
        assert (await call(ledger, number, "failed", "TIMEOUT")).verdict == "go"
        waits.append((await call(ledger, 99, "failed")).seconds)
    assert [LIMITS.breaker_pause * math.ceil(wait / LIMITS.breaker_pause) for wait in waits] == [30.0, 60.0, 120.0]
    assert len(outbox(redis)) == 1


async def test_the_breaker_opens_for_twenty_times_the_shortest_pause_at_most(ledger: Ledger, redis: "Redis") -> None:
    redis.hset(ACCOUNT, mapping={"openings": 50, "open_until": 1, "opened_at": "1.0"})
    await call(ledger, 1, "failed", "TIMEOUT")
    assert (await call(ledger, 2, "failed")).seconds <= 20 * LIMITS.breaker_pause


@pytest.mark.parametrize(
    ("key", "field", "longest"),
    [
        (KEY, "read_until", 40.0),
        (KEY, "next_read_at", 20.0),
        (ACCOUNT, "busy_until", 60.0),
        (ACCOUNT, "open_until", 20 * LIMITS.breaker_pause),
        (ACCOUNT, "probe_until", 40.0),
    ],
)
async def test_after_redis_is_set_back_a_day_no_wait_is_longer_than_its_longest(
    ledger: Ledger, redis: "Redis", key: str, field: str, longest: float
) -> None:
    tomorrow = (server_time(redis) + DAY) * 1000
    redis.hset(key, field, f"{tomorrow:.0f}")
    first = await reserve_read(ledger, spacing=(10.0, 20.0))
    assert (first.verdict, 0 < first.seconds <= longest) == ("wait", True)
    left = float(cast("bytes", redis.hget(key, field))) / 1000 - server_time(redis)
    assert left <= longest, "so that it ends"


async def test_an_answer_after_single_failures_raises_no_alert(ledger: Ledger, redis: "Redis") -> None:
    await call(ledger, 1, "failed", "TIMEOUT")
    await call(ledger, 2, "answered", "{}")
    assert (outbox(redis), redis.exists(ACCOUNT)) == ([], 0)


async def test_the_concurrency_limit_pauses_the_account_briefly_and_never_opens_the_breaker(
    ledger: Ledger, redis: "Redis"
) -> None:
    for number in range(10):
        await call(ledger, number, "given_back", "CONCURRENCY_LIMIT_EXCEEDED")
        redis.hset(ACCOUNT, "busy_until", 1)
    before = milliseconds(redis)
    await call(ledger, 10, "given_back", "CONCURRENCY_LIMIT_EXCEEDED")
    assert before + 200 <= int(redis.hget(ACCOUNT, "busy_until") or 0) <= milliseconds(redis) + 200
    redis.hset(ACCOUNT, "busy_until", milliseconds(redis) + 60_000)
    busy = await call(ledger, 11, "given_back")
    assert (busy.verdict, busy.code) == ("wait", "vendor_busy")
    assert 0 < busy.seconds <= 60
    assert outbox(redis) == []


async def test_calls_that_this_machine_could_not_send_leave_the_breaker_as_it_is(
    ledger: Ledger, redis: "Redis"
) -> None:
    for number in range(20):
        assert (await call(ledger, number, "given_back", "NO_FILE_DESCRIPTORS")).verdict == "go"
    assert (outbox(redis), redis.exists(ACCOUNT)) == ([], 0)


async def test_a_probe_that_could_not_be_sent_lets_the_next_one_go(ledger: Ledger, redis: "Redis") -> None:
    for number in range(3):
        await call(ledger, number, "given_back")
    redis.hset(ACCOUNT, "open_until", 1)
    assert (await call(ledger, 3, "given_back", "NO_FILE_DESCRIPTORS")).verdict == "go"
    assert (await call(ledger, 4, "answered", "{}")).verdict == "go"
    assert [alert.reason for alert in outbox(redis)] == ["breaker_opened", "breaker_closed"]


async def test_an_answer_leaves_the_accounts_common_pause_as_it_is(ledger: Ledger, redis: "Redis") -> None:
    """A call that was made before the refusal is answered after it."""
    await reserve_read(ledger, "slow")
    await call(ledger, 1, "failed", "TIMEOUT")
    await call(ledger, 2, "given_back", "CONCURRENCY_LIMIT_EXCEEDED")
    paused_until = milliseconds(redis) + 60_000
    redis.hset(ACCOUNT, "busy_until", paused_until)
    await finish_read(ledger, "slow", "answered", b"{}")
    assert redis.hgetall(ACCOUNT) == {b"busy_until": str(paused_until).encode()}
    assert 0 < redis.pttl(ACCOUNT) <= 60_000, "the key lives as long as the pause"
    assert (await call(ledger, 3, "answered")).code == "vendor_busy"
    redis.hset(ACCOUNT, "busy_until", 1)
    assert (await call(ledger, 4, "answered", "{}")).verdict == "go"
    assert not redis.exists(ACCOUNT)


# Forgotten scripts


async def test_scripts_are_loaded_again_after_the_server_lost_them(ledgers: list[Ledger], redis: "Redis") -> None:
    await crowd(ledgers, lambda ledger, number: arrive(ledger, f"a{number}"), 10)
    redis.script_flush()
    verdicts = [arrival.verdict for arrival in await crowd(ledgers, lambda ledger, n: arrive(ledger, f"a{n}"), 10)]
    assert Counter(verdicts) == {"own": 1, "joined": 9}
    assert case(redis)["count:notify"] == "10"
    for step in (
        lambda ledger: reserve_read(ledger, "f"),
        lambda ledger: finish_read(ledger, "f", "answered", b"{}"),
        lambda ledger: ledger.set_aside(CASE, b"{}"),
        lambda ledger: ledger.commit(CASE, b"{}", item=case(redis)["owner"]),
    ):
        redis.script_flush()
        await step(ledgers[0])
    assert set(case(redis)) >= {"reads", "set_aside", "decision"}


async def test_a_call_that_fails_does_not_affect_calls_made_at_the_same_time(ledger: Ledger, redis: "Redis") -> None:
    redis.set("p:case:{default}:broken", "no hash")
    broken = CaseKey("default", "broken")
    answers = await asyncio.gather(
        arrive(ledger, "a"), ledger.commit(broken, b"{}", item="i1"), arrive(ledger, "b"), return_exceptions=True
    )
    assert [type(answer).__name__ for answer in answers] == ["Arrival", "ResponseError", "Arrival"]


async def test_alerts_in_the_outbox_are_json(ledger: Ledger, redis: "Redis") -> None:
    await arrive(ledger, "a", fingerprint="one")
    await arrive(ledger, "b", fingerprint="two")
    (raw,) = redis.hvals("p:outbox:items")
    assert json.loads(raw)["stage"] == "publish"


@pytest.mark.server
async def test_an_answer_is_stored_in_a_redis_that_has_become_full_since_its_read_was_reserved(
    private_server: RedisServer,
) -> None:
    """The read counts, so the answer must not be lost."""
    client = open_async_redis(private_server.url)
    ledger = Ledger(client, "p", LIMITS)
    await arrive(ledger)
    permit = await ledger.reserve_read(CASE, "read", allowed=3, read_timeout=40.0, spacing=(60.0,))
    assert permit.verdict == "go"
    private_server.config_set("maxmemory", 1)
    with pytest.raises(OutOfMemoryError):
        await arrive(ledger, "another")
    assert await ledger.finish_read(CASE, "read", "answered", b'{"status": "OK"}', 1.5) == ("notify",)
    stored = await ledger.reserve_read(CASE, "again", allowed=3, read_timeout=40.0, spacing=(60.0,))
    await client.aclose()
    assert (stored.verdict, stored.raw) == ("stored", b'{"status": "OK"}')
