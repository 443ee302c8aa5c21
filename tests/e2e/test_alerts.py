"""Alerts that real processes raise: none just below the limits, one above each limit."""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import pytest
from redis import Redis

from deploy.local.session_runner import FinishedSession, SessionRunner
from deploy.local.sessions import Session
from deploy.local.stack import Stack
from deploy.simulator.model.faults import Faults, ResultFault
from shared.brokers.rabbitmq_listener import Listener
from shared.events.alert import Alert, AlertKind
from shared.events.cloudevent import from_event
from shared.settings import Settings
from tests.support.biz_ids import biz_id
from tests.support.load import CALLBACKS, alerts, bodies, decisions, post_all, signed
from tests.support.queues import is_idle
from tests.support.redis_clients import open_redis
from tests.support.stacks import new_stack
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
MARKERS = count(1)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A pipeline just below every limit."""
    with new_stack(tmp_path_factory.mktemp("alerts"), worker_stages=((),), settings=QUICK).running() as running:
        play(running, [ATTACK] * (ATTACKS - 1) + [PASS] * 5)
        forge(running, FORGED - 1)
        add_unreadable(running, DEAD)
        wait_until_idle(running, decided=ATTACKS + 4)
        yield running


@dataclass(frozen=True)
class Exceeded:
    """What was seen below the limits, and after every limit was exceeded."""

    below: list[Alert]
    unreadable: FinishedSession
    bad_signatures: int
    """Counted in Redis."""
    new_keys: int
    """Keys that the forged callbacks have added to Redis."""


@pytest.fixture(scope="module")
def exceeded(stack: Stack) -> Exceeded:
    """Exceeds every limit, and waits until the monitor has looked at it."""
    with open_redis(stack.redis_url) as redis:
        wait_for_a_look(stack, redis)
        below, keys = alerts(redis), redis.dbsize()
        forge(stack, STORM)
        wait_until_idle(stack)
        new_keys = redis.dbsize() - keys
        _, unreadable = play(stack, [ATTACK, UNREADABLE])
        add_unreadable(stack, 1)
        wait_until_idle(stack)
        wait_for_a_look(stack, redis)
        counted = [int(redis.hget(key, "bad_signature") or 0) for key in redis.scan_iter("faceid:counters:*")]
    return Exceeded(below, unreadable, sum(counted), new_keys)


@pytest.fixture
def redis(stack: Stack) -> "Iterator[Redis]":
    with open_redis(stack.redis_url) as client:
        yield client


def play(stack: Stack, sessions: Sequence[Session]) -> list[FinishedSession]:
    """Play these sessions. The result is in their order."""

    async def played() -> list[FinishedSession]:
        return [one async for one in SessionRunner(stack).run(sessions)]

    return sorted(asyncio.run(played()), key=lambda one: one.number)


def forge(stack: Stack, number: int) -> None:
    body = signed(CALLBACKS["clean-pass"], "a secret of a forger")
    assert asyncio.run(post_all(stack.notify_url, [body] * number)) == {200: number}


def add_unreadable(stack: Stack, number: int) -> None:
    """Put messages into the first queue that can't be read: each becomes a dead letter."""
    with open_redis(stack.redis_url) as redis:
        for _ in range(number):
            redis.xadd("faceid.callbacks", {"rubbish": "x"})


def wait_until_idle(stack: Stack, decided: int = 0) -> None:
    """Wait for this many decisions, and until no message is left to be worked on."""
    with open_redis(stack.redis_url) as redis:
        until(
            lambda: len(decisions(redis)) >= decided and is_idle(redis), what="the end of all work", of=stack.programs
        )


def wait_for_a_look(stack: Stack, redis: "Redis") -> None:
    """Wait until the only worker has looked at all that is there now, and has published the alerts.

    The worker takes its turn, looks, and then reads the next messages, all on one thread.
    """
    redis.delete("faceid:watch")
    until(lambda: bool(redis.exists("faceid:watch")), what="the worker's turn to look", of=stack.programs)
    marker = next(MARKERS)
    asyncio.run(post_all(stack.notify_url, bodies(1, first=marker)))
    until(lambda: bool(decisions(redis, biz_id(marker))), what="the next messages", of=stack.programs)
    wait_until_idle(stack)


def raised(redis: "Redis", kind: AlertKind) -> Alert:
    """The only alert of this kind."""
    (alert,) = [alert for alert in alerts(redis) if alert.kind == kind]
    return alert


def test_nothing_is_raised_just_below_every_limit(exceeded: Exceeded) -> None:
    assert exceeded.below == []


def test_one_attack_too_many_among_an_accounts_decisions_is_an_alert(exceeded: Exceeded, redis: "Redis") -> None:
    alert = raised(redis, AlertKind.ATTACK_RATE)
    assert (alert.account, alert.biz_id) == ("default", None)
    assert alert.detail["attacks"] == ATTACKS
    assert alert.detail["limit_share"] == 0.2


def test_many_forged_callbacks_are_one_alert(exceeded: Exceeded, redis: "Redis") -> None:
    alert = raised(redis, AlertKind.BAD_SIGNATURE_RATE)
    assert alert.account == "default"
    assert isinstance(alert.detail["bad_signatures"], float)
    assert FORGED <= alert.detail["bad_signatures"] <= FORGED - 1 + STORM
    assert exceeded.bad_signatures == FORGED - 1 + STORM, "each is counted once"
    assert exceeded.new_keys < 20, "and none leaves a key of its own"


def test_one_dead_letter_too_many_is_an_alert(exceeded: Exceeded, redis: "Redis") -> None:
    alert = raised(redis, AlertKind.DEAD_LETTERS_GROWING)
    assert (alert.account, alert.biz_id) == (None, None)
    assert (alert.detail["dead_letters"], alert.detail["verify.undecodable"]) == (DEAD + 1, DEAD + 1)


def test_a_case_whose_reads_all_failed_is_one_alert(exceeded: Exceeded, redis: "Redis") -> None:
    alert = raised(redis, AlertKind.BUDGET_SPENT)
    assert (alert.account, alert.biz_id) == ("default", exceeded.unreadable.biz_id)
    (decision,) = decisions(redis, exceeded.unreadable.biz_id)
    assert (decision["outcome"], decision["decided_at"]) == ("REVIEW", alert.at)


def test_callbacks_that_wait_for_a_killed_stage_are_an_alert(tmp_path: Path) -> None:
    stages = (("verify",), ("reconcile", "classify", "publish"))
    settings = QUICK | {"FACEID_ALERT_BACKLOG_SECONDS": "1"}
    with (
        new_stack(tmp_path, worker_stages=stages, settings=settings).running() as stack,
        open_redis(stack.redis_url) as redis,
    ):
        stack.workers[0].kill()
        asyncio.run(post_all(stack.notify_url, bodies(3)))
        until(lambda: bool(alerts(redis)), what="the alert", of=stack.workers[1:])
        alert = raised(redis, AlertKind.BACKLOG_AGE)
        assert (alert.account, alert.detail["limit_seconds"]) == (None, 1)
        assert isinstance(alert.detail["oldest_seconds"], float)
        assert alert.detail["oldest_seconds"] > 1


def test_on_rabbitmq_the_routing_key_names_the_account_or_none(tmp_path: Path, rabbit_url: str) -> None:
    settings = {"FACEID_ALERT_BACKLOG_SECONDS": "1", "FACEID_GETRESULT_TIMEOUT_SECONDS": "60"}
    settings |= {"FACEID_GRACE_SECONDS": "0"}
    with new_stack(tmp_path, broker_url=rabbit_url, worker_stages=((),), settings=settings).running() as stack:
        whole, account = (Listener(rabbit_url, "faceid", [f"alert.{name}.*"]) for name in ("_", "default"))
        forge(stack, FORGED)
        play(stack, [HANGING])
        assert next_kind(account, stack) == AlertKind.BAD_SIGNATURE_RATE
        assert next_kind(whole, stack) == AlertKind.BACKLOG_AGE
        whole.close()
        account.close()


def next_kind(listener: Listener, stack: Stack) -> AlertKind:
    """Wait for the listener's next alert. Returns its kind."""
    heard: list[bytes] = []

    def hears() -> bool:
        heard.extend(listener.receive(0.5))
        return bool(heard)

    until(hears, what="an alert", of=stack.programs)
    alert = from_event(heard[0])
    assert isinstance(alert, Alert)
    return alert.kind
