"""The decisions that stand, found in the ledger by whatever they are asked for."""

from collections.abc import Iterator
from typing import Any

import pytest
from redis import Redis

from console.results.decision_scan import ScanCounts, Wanted, scan_decisions
from shared.events.decision import Decision
from shared.ledger.case_key import CaseKey, case_key
from tests.support.decisions import dumped, made_on, on_answer
from tests.support.payloads import ISSUED_AT
from tests.support.redis_clients import open_redis

APPROVED, REJECTED = made_on(on_answer()), made_on(on_answer("liveness-fail"))
ACCOUNTS = ("bank", "default")


@pytest.fixture
def redis(any_redis_url: str) -> "Iterator[Redis]":
    with open_redis(any_redis_url) as client:
        yield client


def decided(
    redis: "Redis", biz_id: str, *, published: bool = True, like: Decision = APPROVED, **changes: Any
) -> Decision:
    """A decision of a case of its own."""
    decision = Decision.model_validate(dict(like) | {"biz_id": biz_id} | changes)
    key = case_key("p", CaseKey(decision.account, biz_id))
    redis.hset(key, "decision", dumped(decision))
    if published:
        redis.hset(key, "published", decision.id)
    return decision


def found(redis: "Redis", **wanted: Any) -> tuple[set[str], ScanCounts]:
    """The biz_ids of what is meant, and what was noted."""
    noted = ScanCounts()
    met = scan_decisions(redis, "p", ACCOUNTS, Wanted(**wanted), noted)
    return {decision.biz_id for decision in met}, noted


def test_all_published_decisions_are_found_among_other_keys(redis: "Redis") -> None:
    for number in range(1200):
        decided(redis, f"case-{number}", like=APPROVED if number % 3 else REJECTED)
        redis.set(f"p:biz_no:{{default}}:{number}", "x")
    redis.hset("p:case:{default}:open", "opened_at", "1")
    met, noted = found(redis)
    assert len(met) == 1200
    assert noted.outcomes == {"APPROVED": 800, "REJECTED": 400}


def test_unpublished_decisions_are_counted_but_not_returned(redis: "Redis") -> None:
    decided(redis, "out")
    decided(redis, "on its way", published=False)
    met, noted = found(redis)
    assert (met, noted.unpublished) == ({"out"}, 1)


def test_decisions_are_found_by_account_outcome_and_time(redis: "Redis") -> None:
    decided(redis, "1")
    decided(redis, "2", account="bank")
    decided(redis, "3", like=REJECTED)
    decided(redis, "4", decided_at="2016-05-04T00:00:00.000Z")
    assert found(redis, account="bank")[0] == {"2"}
    assert found(redis, outcome="REJECTED")[0] == {"3"}
    assert found(redis, since=ISSUED_AT + 3600)[0] == {"4"}
    assert found(redis, until=ISSUED_AT + 3600, outcome="APPROVED")[0] == {"1", "2"}
    assert found(redis, since=ISSUED_AT + 3.25, until=ISSUED_AT + 3.25, account="default")[0] == {"1", "3"}


def test_decisions_are_found_by_biz_id_in_any_account_and_unknown_ids_are_named(redis: "Redis") -> None:
    decided(redis, "1")
    decided(redis, "2", account="bank")
    redis.hset(case_key("p", CaseKey("default", "open")), "opened_at", "1")
    wanted = Wanted(biz_ids=("1", "2", "2", "open", "unknown"))
    noted = ScanCounts()
    met = [decision.biz_id for decision in scan_decisions(redis, "p", ACCOUNTS, wanted, noted)]
    assert sorted(met) == ["1", "2"]
    assert noted.missing(wanted) == ["open", "unknown"]


def test_decisions_are_found_by_the_ids_of_their_events(redis: "Redis") -> None:
    many = [decided(redis, f"case-{number}") for number in range(700)]
    superseded = many[5].id
    decided(redis, "case-5", revision=2, supersedes=superseded)
    wanted = Wanted(ids=frozenset({many[3].id, many[600].id, superseded, "no id"}))
    noted = ScanCounts()
    met = {decision.biz_id for decision in scan_decisions(redis, "p", ACCOUNTS, wanted, noted)}
    assert met == {"case-3", "case-600"}
    assert noted.missing(wanted) == sorted([superseded, "no id"])


def test_a_biz_id_that_looks_like_a_pattern_matches_only_itself(redis: "Redis") -> None:
    decided(redis, "a")
    decided(redis, "[a]*")
    assert found(redis, biz_ids=("[a]*",))[0] == {"[a]*"}
