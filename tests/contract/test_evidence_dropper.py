"""While Redis is almost full the evidence of published cases is deleted, and everything that keeps them safe stays."""

from collections.abc import AsyncIterator, Iterator
from typing import Any, Final, cast

import pytest
from redis import Redis
from structlog.testing import capture_logs

from shared.ledger.case_key import CaseKey, case_key, trimmed_key
from shared.ledger.ledger import Ledger, Limits
from shared.ledger.message_set import MessageSet
from tests.support.case_texts import signed_texts, text
from tests.support.redis_clients import open_async_redis, open_redis
from tests.support.servers import RedisServer
from workers.maintenance.evidence_dropper import INTERVAL, YOUNGEST, EvidenceDropper

RETENTION: Final = 86_400.0
CASE: Final = CaseKey("default", "1795478400,a")
RAW: Final = b"the answer " * 40
pytestmark = pytest.mark.server


class Clock:
    now = 0.0

    def __call__(self) -> float:
        self.now += INTERVAL
        return self.now


@pytest.fixture
def redis(private_server: RedisServer) -> "Iterator[Redis]":
    with open_redis(private_server.url) as client:
        yield client


@pytest.fixture
async def ledger(private_server: RedisServer) -> AsyncIterator[Ledger]:
    client = open_async_redis(private_server.url)
    yield Ledger(client, "p", Limits(retention=RETENTION))
    await client.aclose()


@pytest.fixture
def dropper(redis: "Redis") -> EvidenceDropper:
    return EvidenceDropper(redis, "p", 0.9, RETENTION, Clock())


async def arrive(ledger: Ledger, item: str, fingerprint: str, data: str, case: CaseKey = CASE) -> Any:
    facts: Any = {"biz_no": "", "received_at": 1.5, "secret": "0" if fingerprint else ""}
    return await ledger.arrive(case, item, "notify", fingerprint=fingerprint, data=data, **facts)


async def published(ledger: Ledger, redis: "Redis", case: CaseKey = CASE, *, age: float, **facts: Any) -> str:
    """A case whose evidence may be deleted, unless `facts` say otherwise. `age`: in seconds."""
    given = {"fingerprint": "PASS", "provisional": False, "published": True, **facts}
    await arrive(ledger, "item", given["fingerprint"], "signed", case)
    await ledger.reserve_read(case, "r", allowed=3, read_timeout=40.0, spacing=(0.0,))
    await ledger.finish_read(case, "r", "answered", RAW, 1.5)
    await ledger.commit(case, b"the decision", item="item", provisional=given["provisional"])
    key = case_key("p", case)
    if given["published"]:
        redis.hset(key, "published", "id")
    redis.pexpire(key, int((RETENTION - age) * 1000))
    return key


def fill(redis: "Redis", share: float) -> None:
    """Set maxmemory so that this share of it is used."""
    redis.config_set("maxmemory", int(cast("int", redis.info("memory")["used_memory"]) / share))


def run(dropper: EvidenceDropper, times: int = 40) -> None:
    for _ in range(times):
        dropper.run()


async def test_nothing_is_deleted_while_redis_has_room(
    ledger: Ledger, redis: "Redis", dropper: EvidenceDropper
) -> None:
    key = await published(ledger, redis, age=RETENTION - 60)
    for limit in (0.0, 0.5):
        if limit:
            fill(redis, limit)
        run(dropper)
    assert text(redis.hgetall(key), "raw") == RAW


@pytest.mark.parametrize("share", [0.95, 1.5])
async def test_what_keeps_a_case_safe_stays(
    share: float, ledger: Ledger, redis: "Redis", dropper: EvidenceDropper
) -> None:
    key = await published(ledger, redis, age=RETENTION - 60)
    before = cast("dict[bytes, bytes]", redis.hgetall(key))
    fill(redis, share)
    with capture_logs() as logs:
        run(dropper)
    after = redis.hgetall(key)
    gone = {b"callback", *(name for name in before if name.startswith(b"raw") and name != b"raw_at")}
    assert after.pop(b"evidence_dropped_at").isdigit()
    assert after == {name: value for name, value in before.items() if name not in gone}
    assert [(line["event"], line["count"]) for line in logs] == [("evidence.dropped", 1)]
    assert redis.hget(trimmed_key("p"), "evidence") == b"1"


@pytest.mark.parametrize("facts", [{"published": False}, {"provisional": True}, {"fingerprint": ""}])
async def test_evidence_that_may_be_compared_later_is_kept(
    facts: dict[str, Any], ledger: Ledger, redis: "Redis", dropper: EvidenceDropper
) -> None:
    key = await published(ledger, redis, age=RETENTION - 60, **facts)
    fill(redis, 0.95)
    run(dropper)
    assert text(redis.hgetall(key), "raw") == RAW


async def test_the_oldest_evidence_goes_first_and_the_youngest_stays(
    ledger: Ledger, redis: "Redis", dropper: EvidenceDropper
) -> None:
    ages = {"old": RETENTION * 0.8, "middle": RETENTION / 4, "young": YOUNGEST / 2}
    keys = {name: await published(ledger, redis, CaseKey("default", name), age=age) for name, age in ages.items()}

    def kept() -> set[str]:
        return {name for name, key in keys.items() if text(redis.hgetall(key), "raw")}

    fill(redis, 0.95)
    run(dropper, 1)
    assert kept() == {"middle", "young"}
    run(dropper)
    assert kept() == {"young"}


async def test_every_case_is_found_in_bounded_batches(
    ledger: Ledger, redis: "Redis", dropper: EvidenceDropper, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.maintenance.evidence_dropper.PAGE", 5)
    keys = [await published(ledger, redis, CaseKey("default", str(number)), age=RETENTION - 60) for number in range(60)]
    fill(redis, 0.95)
    run(dropper, 1)
    assert 0 < sum(redis.hexists(key, "raw") for key in keys) < len(keys)
    run(dropper)
    assert not any(redis.hexists(key, "raw") for key in keys)


async def test_without_its_evidence_a_case_is_read_and_decided_no_second_time(
    ledger: Ledger, redis: "Redis", dropper: EvidenceDropper
) -> None:
    key = await published(ledger, redis, age=RETENTION - 60)
    fill(redis, 0.95)
    run(dropper)
    redis.config_set("maxmemory", 0)
    permit = await ledger.reserve_read(CASE, "again", allowed=3, read_timeout=40.0, spacing=(0.0,))
    assert (permit.verdict, permit.code) == ("refused", "EVIDENCE_DROPPED")
    assert redis.hget(key, "reads") == b"1"
    await ledger.finish_read(CASE, "late", "answered", RAW, 2.5)
    assert not redis.hexists(key, "raw")
    committed = await ledger.commit(CASE, b"another", item="item")
    assert committed is not None
    assert committed[:2] == (b"the decision", True)
    assert [(await arrive(ledger, item, "PASS", "signed")).verdict for item in ("copy", "item")] == ["decided", "own"]


async def test_evidence_that_contradicts_deleted_evidence_is_noticed(
    ledger: Ledger, redis: "Redis", dropper: EvidenceDropper
) -> None:
    key = await published(ledger, redis, age=RETENTION - 60)
    fill(redis, 0.95)
    run(dropper)
    redis.config_set("maxmemory", 0)
    for _ in range(2):  # again after a crash
        arrival = await arrive(ledger, "other", "FAIL", "adverse")
        assert (arrival.verdict, arrival.unseen) == ("own", True)
    assert [stored.reason for stored in MessageSet(redis, "p", "outbox")] == ["evidence_conflict"]
    assert signed_texts(redis.hgetall(key)) == ("adverse",)
