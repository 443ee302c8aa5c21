"""What raises an alert when it really happens, and what does not yet: through real processes."""

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import cast

import pytest
from redis import Redis

from deploy.local.player import Played, Player
from deploy.local.sessions import Session
from deploy.local.stack import Stack
from deploy.simulator.model.faults import Faults, ResultFault
from shared.brokers.rabbitmq_listener import Listener
from shared.events.alert import Alert, AlertKind
from shared.events.cloudevent import from_event
from shared.settings import Settings
from tests.support.load import CALLBACKS, bodies, decisions, post_all, signed
from tests.support.waiting import until

pytestmark = pytest.mark.server

STORM = 10_000
ATTACKS, FORGED, DEAD = (
    Settings.model_fields[f"alert_{name}"].default for name in ("attack_min", "bad_signature_min", "dead_letters")
)
PASS, ATTACK = Session("pass", "APPROVED", 1), Session("mask-attack", "REJECTED", 1)
UNREADABLE, HANGING = (
    Session("pass", "REVIEW", 1, faults=Faults(get_result=(ResultFault(kind=kind, times=None),)))
    for kind in ("internal-error", "hang")
)
QUICK = {"FACEID_READ_SPACING_SECONDS": "0.1", "FACEID_HINT_DELAY_SECONDS": "0.5"}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A pipeline just below every limit."""
    with Stack(tmp_path_factory.mktemp("alerts"), worker_stages=((),), settings=QUICK).running() as running:
        play(running, [ATTACK] * (ATTACKS - 1) + [PASS] * 5)
        forge(running, FORGED - 1)
        with redis_of(running) as redis:
            rubbish(redis, DEAD)
            settled(redis, decided=ATTACKS + 4)
        yield running


@pytest.fixture
def redis(stack: Stack) -> "Iterator[Redis]":
    with redis_of(stack) as client:
        yield client


def redis_of(stack: Stack) -> "Redis":
    return Redis.from_url(stack.redis_url)


def play(stack: Stack, sessions: Sequence[Session]) -> list[Played]:
    async def played() -> list[Played]:
        return [one async for one in Player(stack).play(sessions)]

    return asyncio.run(played())


def forge(stack: Stack, count: int) -> None:
    body = signed(CALLBACKS["clean-pass"], "a secret of a forger")
    assert asyncio.run(post_all(stack.notify_url, [body] * count)) == {200: count}


def rubbish(redis: "Redis", count: int) -> None:
    for _ in range(count):
        redis.xadd("faceid.callbacks", {"rubbish": "x"})


def settled(redis: "Redis", decided: int = 0) -> None:
    """Return when so much is decided, and nothing waits."""
    queues = [f"faceid.{queue}" for queue in ("callbacks", "verified", "reconciled", "decided")]
    until(lambda: len(decisions(redis)) >= decided and not any(map(redis.xlen, queues)), 60)


def looked(redis: "Redis") -> None:
    """Return when a worker has looked at everything that is there now."""
    for _ in range(2):  # when the second look begins the first one is over
        redis.delete("faceid:watch")
        until(lambda: bool(redis.exists("faceid:watch")), what="a look")


def alerts(redis: "Redis", kind: AlertKind | None = None) -> list[Alert]:
    entries = cast("list[tuple[bytes, dict[bytes, bytes]]]", redis.xrange("faceid.alerts"))
    found = [from_event(fields[b"body"]) for _, fields in entries]
    return [alert for alert in found if isinstance(alert, Alert) and kind in (None, alert.kind)]


def raised(redis: "Redis", kind: AlertKind) -> Alert:
    """The one alert of this kind, waited for."""
    until(lambda: bool(alerts(redis, kind)), what=kind)
    (alert,) = alerts(redis, kind)
    return alert


def test_just_below_every_limit_nothing_is_raised(redis: "Redis") -> None:
    looked(redis)
    assert alerts(redis) == []


def test_one_attack_more_is_too_many_of_an_accounts_decisions(stack: Stack, redis: "Redis") -> None:
    play(stack, [ATTACK])
    alert = raised(redis, AlertKind.ATTACK_RATE)
    assert (alert.account, alert.biz_id) == ("default", None)
    assert alert.detail["attacks"] == ATTACKS
    assert alert.detail["limit_share"] == 0.2


def test_a_storm_of_forged_callbacks_is_one_alert(stack: Stack, redis: "Redis") -> None:
    keys = redis.dbsize()
    forge(stack, STORM)
    settled(redis)
    looked(redis)
    alert = raised(redis, AlertKind.BAD_SIGNATURE_RATE)
    assert alert.account == "default"
    assert isinstance(alert.detail["bad_signatures"], float)
    assert FORGED <= alert.detail["bad_signatures"] <= FORGED - 1 + STORM
    counted = [redis.hget(key, "bad_signature") for key in redis.scan_iter("faceid:counters:*")]
    assert sum(int(count or 0) for count in counted) == FORGED - 1 + STORM, "each is counted once"
    assert redis.dbsize() < keys + 20, "and none leaves a key of its own"


def test_one_dead_letter_more_is_too_many(redis: "Redis") -> None:
    rubbish(redis, 1)
    alert = raised(redis, AlertKind.DEAD_LETTERS_GROWING)
    assert (alert.account, alert.biz_id) == (None, None)
    assert (alert.detail["dead_letters"], alert.detail["verify.undecodable"]) == (DEAD + 1, DEAD + 1)


def test_a_case_whose_reads_all_failed_is_told_of_once(stack: Stack, redis: "Redis") -> None:
    (played,) = play(stack, [UNREADABLE])
    alert = raised(redis, AlertKind.BUDGET_SPENT)
    assert (alert.account, alert.biz_id) == ("default", played.biz_id)
    (decision,) = [one for one in decisions(redis) if one["biz_id"] == played.biz_id]
    assert (decision["outcome"], decision["decided_at"]) == ("REVIEW", alert.at)


def test_callbacks_that_wait_for_a_killed_stage_are_told_of(tmp_path_factory: pytest.TempPathFactory) -> None:
    stages = (("verify",), ("reconcile", "classify", "publish"))
    settings = QUICK | {"FACEID_ALERT_BACKLOG_SECONDS": "2"}
    folder = tmp_path_factory.mktemp("backlog")
    with Stack(folder, worker_stages=stages, settings=settings).running() as stack, redis_of(stack) as redis:
        asyncio.run(post_all(stack.notify_url, bodies(1)))
        settled(redis)
        looked(redis)
        assert alerts(redis, AlertKind.BACKLOG_AGE) == []

        stack.workers[0].kill()
        asyncio.run(post_all(stack.notify_url, bodies(3, first=2)))
        alert = raised(redis, AlertKind.BACKLOG_AGE)
        assert (alert.account, alert.detail["limit_seconds"]) == (None, 2)
        assert isinstance(alert.detail["oldest_seconds"], float)
        assert alert.detail["oldest_seconds"] > 2


def test_on_rabbitmq_the_routing_key_names_the_account_or_none(tmp_path: Path, rabbit_url: str) -> None:
    settings = {"FACEID_ALERT_BACKLOG_SECONDS": "2", "FACEID_GETRESULT_TIMEOUT_SECONDS": "60"}
    settings |= {"FACEID_GRACE_SECONDS": "0"}
    with Stack(tmp_path, broker_url=rabbit_url, worker_stages=((),), settings=settings).running() as stack:
        whole, account = (Listener(rabbit_url, "faceid", [f"alert.{name}.*"]) for name in ("_", "default"))
        forge(stack, FORGED)
        play(stack, [HANGING])
        assert next_kind(account) == AlertKind.BAD_SIGNATURE_RATE
        assert next_kind(whole) == AlertKind.BACKLOG_AGE
        whole.close()
        account.close()


def next_kind(listener: Listener) -> AlertKind:
    """Of the alert that is heard next, waited for."""
    heard: list[bytes] = []

    def hears() -> bool:
        heard.extend(listener.receive(0.5))
        return bool(heard)

    until(hears, what="an alert")
    alert = from_event(heard[0])
    assert isinstance(alert, Alert)
    return alert.kind
