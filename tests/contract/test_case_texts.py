"""How the texts of a case are stored, how much memory a case takes, and what bounds it."""

import json
import random
from collections.abc import AsyncIterator, Iterator
from typing import Any, cast

import pytest
from redis import Redis

from console.case.record import StoredTexts, find
from shared.ledger.case_key import CaseKey
from shared.ledger.ledger import MAX_SIGNED_BYTES, MAX_SIGNED_TEXTS, Arrival, Ledger, Limits
from shared.ledger.message_set import MessageSet
from tests.support.case_texts import signed_texts, text
from tests.support.decisions import dumped, made_on, on_answer
from tests.support.payloads import BIZ_ID, CALLBACKS
from tests.support.redis_clients import open_async_redis, open_redis

CASE = CaseKey("default", BIZ_ID)
KEY = f"p:case:{{default}}:{BIZ_ID}"
PAYLOAD = json.dumps(CALLBACKS["clean-pass"])
ANSWER = PAYLOAD[:-1] + ', "request_id": "1469257550,51848cbe-3ea7-4b03-824a-21425fecad9a", "time_used": 120}'
ITEM = "32d292b84492facc49bd2276f8136ab4"
PIECE = 64


@pytest.fixture
def redis(any_redis_url: str) -> "Iterator[Redis]":
    with open_redis(any_redis_url) as client:
        yield client


@pytest.fixture
async def ledger(any_redis_url: str) -> AsyncIterator[Ledger]:
    client = open_async_redis(any_redis_url)
    yield Ledger(client, "p", Limits(retention=86_400.0))
    await client.aclose()


def incompressible(length: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(length)


def names(redis: "Redis") -> list[bytes]:
    return cast("list[bytes]", redis.hkeys(KEY))


async def arrive(ledger: Ledger, fingerprint: str, data: str = PAYLOAD, item: str = ITEM) -> Arrival:
    facts: dict[str, Any] = {"biz_no": CALLBACKS["clean-pass"]["biz_info"]["biz_no"], "received_at": 1.7e9}
    return await ledger.arrive(CASE, item, "notify", fingerprint=fingerprint, data=data, secret="0", **facts)


async def read_result(ledger: Ledger, raw: bytes) -> None:
    await ledger.reserve_read(CASE, "r", allowed=3, read_timeout=40.0, spacing=(60.0,))
    await ledger.finish_read(CASE, "r", "answered", raw, 1.7e9)


async def decide(ledger: Ledger, redis: "Redis") -> None:
    decision = made_on(on_answer())
    await ledger.commit(CASE, dumped(decision), item=ITEM)
    redis.hset(KEY, "published", decision.id)


# Memory


@pytest.mark.server
@pytest.mark.parametrize("with_answer", [True, False])
async def test_a_decided_case_takes_less_than_1200_bytes(with_answer: bool, redis_url: str) -> None:
    client = open_async_redis(redis_url)
    ledger = Ledger(client, "p", Limits(retention=86_400.0))
    with open_redis(redis_url) as redis:
        await arrive(ledger, "45a78205f41c6668")
        await arrive(ledger, "45a78205f41c6668", item=ITEM[::-1])
        if with_answer:
            await read_result(ledger, ANSWER.encode())
        await decide(ledger, redis)
        size, encoding = cast("int", redis.memory_usage(KEY, samples=0)), redis.object("encoding", KEY)
    await client.aclose()
    assert encoding in {b"listpack", b"ziplist"}
    assert size < 1200


# Pieces


async def test_the_console_shows_the_texts(ledger: Ledger, redis: "Redis") -> None:
    await arrive(ledger, "A")
    await arrive(ledger, "B", "another")
    await read_result(ledger, ANSWER.encode())
    await decide(ledger, redis)
    record = find(redis, "p", ["default"], BIZ_ID)
    assert record is not None
    assert record.texts == StoredTexts((PAYLOAD, "another"), ANSWER)
    assert record.fields["decision"].encode() == dumped(made_on(on_answer()))
    assert not any("." in name for name in record.fields)


@pytest.mark.parametrize("pieces", [0, 1, 2, 7, 8, 9, 40])
@pytest.mark.parametrize("more", [-1, 0, 1])
async def test_a_text_of_any_length_comes_back(pieces: int, more: int, ledger: Ledger, redis: "Redis") -> None:
    raw = incompressible(max(0, pieces * PIECE + more))
    await read_result(ledger, raw)
    permit = await ledger.reserve_read(CASE, "again", allowed=3, read_timeout=40.0, spacing=(0.0,))
    assert (permit.verdict, permit.raw) == ("stored", raw)
    assert text(redis.hgetall(KEY), "raw") == raw
    await ledger.commit(CASE, b"d" + raw, item="i")
    again = await ledger.commit(CASE, b"another", item="i")
    assert again is not None
    assert again.decision == b"d" + raw


async def test_no_piece_of_a_longer_text_stays_behind(ledger: Ledger, redis: "Redis") -> None:
    await read_result(ledger, incompressible(400))
    await ledger.set_aside(CASE, incompressible(400))
    redis.hdel(KEY, "next_read_at")
    await read_result(ledger, incompressible(70))
    assert text(redis.hgetall(KEY), "raw") == incompressible(70)
    await ledger.set_aside(CASE, incompressible(70))
    assert text(redis.hgetall(KEY), "set_aside") == incompressible(70)
    assert not any(name.startswith(b"raw") for name in names(redis))


# Texts that the last version stored


async def test_plain_texts_are_read_and_compared(ledger: Ledger, redis: "Redis") -> None:
    redis.hset(KEY, mapping={"raw": ANSWER, "decision": PAYLOAD, "published": "id"})
    permit = await ledger.reserve_read(CASE, "r", allowed=3, read_timeout=40.0, spacing=(0.0,))
    assert permit.raw.decode() == ANSWER
    committed = await ledger.commit(CASE, b"{}", item="i")
    assert committed == (PAYLOAD.encode(), True, PAYLOAD.encode())
    await ledger.set_aside(CASE, ANSWER.encode())
    assert text(redis.hgetall(KEY), "set_aside") == ANSWER.encode()


async def test_signed_texts_in_one_field_are_read_apart(ledger: Ledger, redis: "Redis") -> None:
    redis.hset(KEY, mapping={"callback": "a\x1eb", "fingerprint": "A", "conflict:B": "old", "owner": ITEM})
    assert (await arrive(ledger, "A", "a")).texts == ("a", "b")
    assert (await arrive(ledger, "C", "c")).texts == ("a", "b", "c")
    assert signed_texts(redis.hgetall(KEY)) == ("a", "b", "c")


# Bounds


async def test_signed_texts_are_kept_in_the_order_of_their_arrival(ledger: Ledger, redis: "Redis") -> None:
    texts = tuple(str(number) for number in range(MAX_SIGNED_TEXTS))
    arrivals = [await arrive(ledger, name, name, f"item-{name}") for name in texts]
    assert arrivals[-1] == Arrival("own", ("notify",), texts)
    assert signed_texts(redis.hgetall(KEY)) == texts


async def test_beyond_the_limit_of_signed_texts_only_the_fact_is_kept(ledger: Ledger, redis: "Redis") -> None:
    texts = tuple(str(number) for number in range(MAX_SIGNED_TEXTS))
    for name in texts:
        await arrive(ledger, name, name, f"item-{name}")
    fields, alerts = redis.hlen(KEY), len(MessageSet(redis, "p", "outbox"))
    for number in range(100):
        arrival = await arrive(ledger, f"more-{number}", "more", f"more-{number}")
        assert arrival == Arrival("own", ("notify",), (*texts, "more"), unseen=True)
    assert (await arrive(ledger, "more-7", "more", "copy")).unseen
    assert signed_texts(redis.hgetall(KEY)) == texts
    arrivals = sum(name.startswith(b"arrival:") for name in names(redis)) - MAX_SIGNED_TEXTS
    assert redis.hlen(KEY) == fields + arrivals + 1, "`left_out`"
    assert len(MessageSet(redis, "p", "outbox")) == alerts + 1
    assert (await arrive(ledger, "0", "0", "item-0")).verdict == "joined"


async def test_the_signed_texts_of_a_case_are_bounded_in_bytes(ledger: Ledger, redis: "Redis") -> None:
    big = [incompressible(MAX_SIGNED_BYTES * 6 // 10, seed).hex() for seed in range(3)]  # half of the bytes are kept
    arrivals = [await arrive(ledger, str(number), data, f"i{number}") for number, data in enumerate(big)]
    assert [(len(arrival.texts), arrival.unseen) for arrival in arrivals] == [(0, False), (2, True), (2, True)]
    assert signed_texts(redis.hgetall(KEY)) == (big[0],)
