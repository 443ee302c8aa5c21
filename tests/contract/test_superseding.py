"""Superseding in the ledger, by many at once, at any moment, after lost replies: on fakeredis and on a server."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from typing import cast

import pytest
from redis import Redis

from shared.compression import compress
from shared.events.cloudevent import to_event
from shared.ledger.case_key import CaseKey
from shared.ledger.ledger import Ledger, Limits
from shared.ledger.message_set import MessageSet
from shared.messaging.stored_message import StoredMessage
from tests.support.case_texts import signed_texts, text
from tests.support.decisions import dumped, made_on, on_answer, on_callback
from tests.support.payloads import BIZ_ID, ISSUED_AT
from tests.support.redis_clients import open_async_redis, open_redis
from workers.decisioning.decision_builder import supersede

CASE = CaseKey("default", BIZ_ID)
KEY = f"p:case:{{default}}:{BIZ_ID}"
WORKERS = 5
OLD = made_on(on_callback())
STANDING = dumped(OLD)
STORED = compress(STANDING)
"""As the ledger stores it."""
SUPERSEDING = supersede(STORED, OLD, made_on(on_answer(), now=ISSUED_AT + 60), by="faceid", note="it came")


@pytest.fixture
def redis(any_redis_url: str) -> "Iterator[Redis]":
    with open_redis(any_redis_url) as client:
        yield client


@pytest.fixture
async def ledgers(any_redis_url: str) -> AsyncIterator[list[Ledger]]:
    """One for each of several workers, each with connections of its own."""
    clients = [open_async_redis(any_redis_url) for _ in range(WORKERS)]
    yield [Ledger(client, "p", Limits(retention=86_400.0)) for client in clients]
    for client in clients:
        await client.aclose()


@pytest.fixture
def ledger(ledgers: list[Ledger]) -> Ledger:
    return ledgers[0]


def field(redis: "Redis", name: str) -> bytes | None:
    return cast("bytes | None", redis.hget(KEY, name))


def outbox(redis: "Redis") -> list[StoredMessage]:
    return list(MessageSet(redis, "p", "outbox"))


def reasons(redis: "Redis") -> list[str]:
    return [stored.reason for stored in outbox(redis)]


async def decide(ledger: Ledger, redis: "Redis", *, published: bool = True) -> None:
    """A provisional decision stands."""
    await ledger.commit(CASE, STANDING, item="i1", provisional=True)
    if published:
        redis.hset(KEY, "published", OLD.id)


async def late_answer(ledger: Ledger, read_id: str = "late", raw: bytes = b"{}") -> None:
    await ledger.reserve_read(CASE, read_id, allowed=3, read_timeout=0.0, spacing=(0.0,))
    await ledger.reserve_read(CASE, "another", allowed=0, read_timeout=0.0, spacing=(0.0,))
    await ledger.finish_read(CASE, read_id, "answered", raw, 2.5)


# Compare and set


async def test_of_many_that_supersede_at_once_one_succeeds(ledgers: list[Ledger], redis: "Redis") -> None:
    await decide(ledgers[0], redis)
    rivals = [supersede(STORED, OLD, made_on(on_answer(), now=ISSUED_AT + n), by=f"w{n}", note="") for n in range(50)]
    done = await asyncio.gather(
        *(ledgers[n % WORKERS].supersede(CASE, rival) for n, rival in enumerate(rivals)), return_exceptions=True
    )
    (winner,) = (rival for rival, stands in zip(rivals, done, strict=True) if stands is True)
    assert text(redis.hgetall(KEY), "decision") == dumped(winner.new)
    assert json.loads(field(redis, "superseded:1") or b"")["by"] == winner.by
    assert reasons(redis) == ["superseding", "alert"]


async def test_the_old_decision_is_kept_byte_for_byte_with_who_and_why(ledger: Ledger, redis: "Redis") -> None:
    await decide(ledger, redis)
    assert await ledger.supersede(CASE, SUPERSEDING)
    assert text(redis.hgetall(KEY), "revision:1") == STANDING
    assert json.loads(field(redis, "superseded:1") or b"") == {"by": "faceid", "note": "it came"}
    assert (field(redis, "published") or b"").decode() == SUPERSEDING.new.id
    committed = await ledger.commit(CASE, STANDING, item="i1", provisional=True)
    assert committed is not None
    assert committed[:2] == (dumped(SUPERSEDING.new), True)


async def test_a_decision_that_is_not_in_force_can_not_be_superseded(ledger: Ledger, redis: "Redis") -> None:
    other = made_on(on_callback("liveness-fail"))
    await ledger.commit(CASE, dumped(other), item="i1")
    before = redis.hgetall(KEY)
    assert not await ledger.supersede(CASE, SUPERSEDING)
    assert (redis.hgetall(KEY), outbox(redis)) == (before, [])


async def test_an_undecided_case_is_not_superseded(ledger: Ledger, redis: "Redis") -> None:
    assert not await ledger.supersede(CASE, SUPERSEDING)
    assert not redis.exists(KEY)


async def test_superseding_again_after_a_lost_reply_changes_nothing(ledger: Ledger, redis: "Redis") -> None:
    await decide(ledger, redis)
    assert [await ledger.supersede(CASE, SUPERSEDING) for _ in range(3)] == [True, False, False]
    assert reasons(redis) == ["superseding", "alert"]


# What goes out


async def test_the_outbox_holds_the_new_decision_as_it_will_be_published(ledger: Ledger, redis: "Redis") -> None:
    await decide(ledger, redis)
    await ledger.supersede(CASE, SUPERSEDING)
    post = outbox(redis)[0].message
    assert post is not None
    assert (post.queue, post.body, post.topic) == (
        "p.decisions",
        to_event(SUPERSEDING.new),
        "decision.default.approved",
    )


async def test_an_unpublished_decision_is_published_before_the_one_that_supersedes_it(
    ledger: Ledger, redis: "Redis"
) -> None:
    await decide(ledger, redis, published=False)
    await ledger.supersede(CASE, SUPERSEDING)
    assert reasons(redis) == ["superseded", "alert", "superseding", "alert"]
    assert [stored.message.body for stored in outbox(redis)[::2] if stored.message] == [
        to_event(OLD),
        to_event(SUPERSEDING.new),
    ]
    assert redis.hsetnx(KEY, "published", OLD.id) == 0, "the item that carries the old one lets nothing out any more"


# When a case is classified again


async def test_an_answer_after_a_provisional_decision_reloads_the_case_once(ledger: Ledger, redis: "Redis") -> None:
    await decide(ledger, redis)
    for read_id in ("first", "second"):
        await late_answer(ledger, read_id)
    (item,) = outbox(redis)
    assert (item.reason, item.account, item.biz_id, item.message) == ("reclassify", *CASE, None)


async def test_an_answer_just_before_a_provisional_decision_reloads_the_case_too(
    ledgers: list[Ledger], redis: "Redis"
) -> None:
    await late_answer(ledgers[0])
    assert outbox(redis) == []
    await asyncio.gather(*(one.commit(CASE, STANDING, item="i1", provisional=True) for one in ledgers * 4))
    assert reasons(redis) == ["reclassify"]


async def test_an_answer_and_a_provisional_decision_at_once_reload_the_case(
    ledgers: list[Ledger], redis: "Redis"
) -> None:
    for _ in range(10):
        redis.flushall()
        await ledgers[0].reserve_read(CASE, "late", allowed=3, read_timeout=0.0, spacing=(0.0,))
        await asyncio.gather(
            ledgers[1].commit(CASE, STANDING, item="i1", provisional=True),
            ledgers[2].finish_read(CASE, "late", "answered", b"{}", 2.5),
        )
        assert reasons(redis) == ["reclassify"]


@pytest.mark.parametrize("superseded", [False, True])
async def test_a_decision_based_on_getresult_is_never_reloaded(
    superseded: bool, ledger: Ledger, redis: "Redis"
) -> None:
    if superseded:
        await decide(ledger, redis)
        await ledger.supersede(CASE, SUPERSEDING)
        MessageSet(redis, "p", "outbox").take([(stored.id, ()) for stored in outbox(redis)])
    else:
        await ledger.commit(CASE, dumped(SUPERSEDING.new), item="i1")
    await late_answer(ledger)
    assert outbox(redis) == []
    assert field(redis, "provisional") is None


async def test_a_provisional_revision_is_reloaded_again(ledger: Ledger, redis: "Redis") -> None:
    await decide(ledger, redis)
    by_hand = made_on(on_callback("liveness-fail"), now=ISSUED_AT + 60)
    await ledger.supersede(CASE, supersede(STORED, OLD, by_hand, by="alice", note="a stricter policy"))
    await late_answer(ledger)
    assert reasons(redis)[-1] == "reclassify"


@pytest.mark.parametrize("how", ["refused", "failed", "given_back"])
async def test_a_read_without_an_answer_reloads_nothing(how: str, ledger: Ledger, redis: "Redis") -> None:
    await decide(ledger, redis)
    await ledger.finish_read(CASE, "late", how, "TIMEOUT", 2.5)  # type: ignore[arg-type]  # one of the literals
    assert outbox(redis) == []


# The evidence


async def test_each_different_signed_text_is_kept_once(ledger: Ledger, redis: "Redis") -> None:
    facts = {"fingerprint": "g", "biz_no": "", "received_at": 1.5, "secret": "0"}
    for number, data in enumerate(("first", "second")):
        await ledger.arrive(CASE, f"item-{number}", "notify", data=data, **facts)  # type: ignore[arg-type]  # as named
    assert signed_texts(redis.hgetall(KEY)) == ("first",)
    redis.hdel(KEY, "owner")  # it ended among the dead letters
    again = await ledger.arrive(CASE, "item-1", "notify", data="second", **facts)  # type: ignore[arg-type]
    assert (signed_texts(redis.hgetall(KEY)), again.texts) == (("first",), ("first",))
    other = await ledger.arrive(CASE, "item-2", "notify", data="third", **{**facts, "fingerprint": "h"})  # type: ignore[arg-type]
    assert (signed_texts(redis.hgetall(KEY)), other.texts) == (("first", "third"),) * 2


async def test_text_without_final_evidence_is_not_kept(ledger: Ledger, redis: "Redis") -> None:
    await ledger.arrive(CASE, "i", "notify", fingerprint="", data="text", biz_no="", received_at=1.5, secret="0")
    assert field(redis, "callback") is None


async def test_a_superseded_case_is_kept_for_the_retention_time(ledger: Ledger, redis: "Redis") -> None:
    await decide(ledger, redis)
    redis.expire(KEY, 10)
    await ledger.supersede(CASE, SUPERSEDING)
    assert redis.ttl(KEY) > 86_000
