"""The alert monitors of many workers: they raise an alert once in a window."""

import threading
from collections.abc import Iterator, Sequence
from typing import cast

import pytest
from redis import Redis

from shared.events.cloudevent import from_event
from shared.ledger.case_key import CaseKey
from shared.ledger.counters import COUNTERS_TTL, count_commands, read_counters
from shared.ledger.ledger import Ledger, Limits
from shared.ledger.message_set import Command, MessageSet, put_commands, run_commands
from shared.messaging.delivery import Delivery
from shared.messaging.envelope import Envelope
from shared.messaging.message import Message
from shared.messaging.stored_message import StoredMessage
from tests.support.redis_clients import open_async_redis, open_redis
from tests.support.servers import RedisServer
from tests.support.waiting import until
from workers.maintenance.alert_monitor import AlertMonitor
from workers.maintenance.alert_rules import AlertLimits, RateThreshold
from workers.runtime import stage_result
from workers.runtime.settlement import Item, Settlement, Settler

NOW = 1_700_000_000.0
LIMITS = AlertLimits(
    600.0, RateThreshold(0.2, 10), RateThreshold(0.05, 20), dead_letters=3, backlog_age=300.0, memory_share=0.75
)
ACCOUNTS = ("default", "north")


class Queues:
    """A source that knows only the age of its oldest message."""

    def __init__(self, oldest: float | None = None) -> None:
        self.since = oldest

    def oldest(self, queues: Sequence[str]) -> float | None:
        assert list(queues) == ["p.callbacks", "p.verified", "p.reconciled", "p.decided"]
        return self.since

    def receive(self, wait: float) -> Sequence[Delivery]:
        raise NotImplementedError

    def settle(self, settlements: Sequence[Settlement]) -> None:
        raise NotImplementedError

    def renew(self) -> None:
        raise NotImplementedError

    def give_back(self, tags: Sequence[str]) -> None:
        raise NotImplementedError

    def on_probation(self) -> bool:
        raise NotImplementedError

    def release(self, message_set: MessageSet, leaving: Sequence[tuple[str, Message]], *, results: bool) -> list[str]:
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def redis(any_redis_url: str) -> "Iterator[Redis]":
    with open_redis(any_redis_url) as client:
        yield client


@pytest.fixture
def clock() -> Clock:
    return Clock()


def monitor(redis: "Redis", clock: Clock, oldest: float | None = None) -> AlertMonitor:
    return AlertMonitor(Queues(oldest), redis, "p", ACCOUNTS, LIMITS, clock)


def observe(redis: "Redis", clock: Clock, oldest: float | None = None) -> None:
    """The observation of another worker in a later interval."""
    redis.delete("p:watch")
    monitor(redis, clock, oldest).run()


def outbox(redis: "Redis") -> list[StoredMessage]:
    return list(MessageSet(redis, "p", "outbox"))


def kinds(redis: "Redis") -> list[tuple[str, str]]:
    return [(stored.reason, stored.account) for stored in outbox(redis)]


def forge(redis: "Redis", count: int, clock: Clock, account: str = "default") -> None:
    """Settle `count` callbacks as unverified: nobody of the account has signed them."""
    settler = Settler("p", 8, clock)
    commands = list[Command]()
    for number in range(count):
        envelope = Envelope(f"{account}-{number}", account, "notify", "POST", clock(), b"data=1&sign=2")
        result = stage_result.Unverified("bad_signature", "no live secret")
        commands += settler.settle("t", Item("verify", envelope, envelope.body), result).writes
    run_commands(redis, commands)


def add_dead_letters(redis: "Redis", count: int, at: float) -> None:
    for number in range(count):
        dead = StoredMessage(f"i-{number}", "reconcile", "error", "KeyError", at, account="default")
        for command in put_commands("p", "dead", dead):
            redis.execute_command(*command)


def test_thousands_of_forged_callbacks_raise_one_alert_and_are_counted(redis: "Redis", clock: Clock) -> None:
    for _ in range(5):
        forge(redis, 2_000, clock)
        observe(redis, clock)
    (stored,) = outbox(redis)
    assert (stored.reason, stored.account) == ("bad_signature_rate", "default")
    assert read_counters(redis, "p", ACCOUNTS, clock(), 600)["default"]["bad_signature"] == 10_000
    (key,) = cast("list[bytes]", redis.keys("p:counters:*"))
    assert 0 < redis.ttl(key) <= COUNTERS_TTL


def test_below_the_limit_nothing_is_raised(redis: "Redis", clock: Clock) -> None:
    forge(redis, 19, clock)
    add_dead_letters(redis, 3, clock())
    observe(redis, clock, oldest=clock() - 299)
    assert kinds(redis) == []


def test_each_account_has_alerts_of_its_own(redis: "Redis", clock: Clock) -> None:
    forge(redis, 20, clock, "north")
    observe(redis, clock)
    forge(redis, 20, clock)
    observe(redis, clock)
    assert sorted(kinds(redis)) == [("bad_signature_rate", "default"), ("bad_signature_rate", "north")]


def test_an_alert_about_dead_letters_counts_recent_ones_by_stage_and_reason(redis: "Redis", clock: Clock) -> None:
    add_dead_letters(redis, 4, clock() - 601)
    observe(redis, clock)
    assert kinds(redis) == []
    add_dead_letters(redis, 4, clock() - 1)
    observe(redis, clock)
    ((reason, account),) = kinds(redis)
    assert (reason, account) == ("dead_letters_growing", "")
    assert "reconcile.error=4" in outbox(redis)[0].detail


def test_dead_letters_that_are_soon_deleted_raise_one_alert_a_day(redis: "Redis", clock: Clock) -> None:
    add_dead_letters(redis, 1, clock() - 25 * 86_400)
    observe(redis, clock)
    clock.now += 3600
    observe(redis, clock)
    assert kinds(redis) == [("dead_letters_expiring", "")]
    assert 80_000 < redis.ttl("p:raised:dead_letters_expiring:{_}") <= 86_400


def test_an_alert_about_the_pipeline_names_no_account(redis: "Redis", clock: Clock) -> None:
    observe(redis, clock, oldest=clock() - 301)
    (stored,) = outbox(redis)
    assert stored.message is not None
    alert = from_event(stored.message.body)
    assert (alert.account, alert.biz_id, alert.id) == (None, None, stored.id)
    assert stored.message.queue == "p.alerts"


def test_workers_that_observe_at_the_same_time_raise_one_alert(
    any_redis_url: str, redis: "Redis", clock: Clock
) -> None:
    forge(redis, 20, clock)
    start = threading.Barrier(8)

    def work() -> None:
        with open_redis(any_redis_url) as client:
            one = monitor(client, clock)
            start.wait()
            one._raise_all(clock())  # as if each had taken the turn

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert kinds(redis) == [("bad_signature_rate", "default")]


def test_one_worker_observes_in_each_interval(redis: "Redis", clock: Clock) -> None:
    monitor(redis, clock).run()
    forge(redis, 20, clock)
    monitor(redis, clock).run()
    assert kinds(redis) == []
    assert 0 < redis.pttl("p:watch") <= 5_000


def test_a_worker_asks_for_its_turn_again_when_the_interval_is_over(redis: "Redis", clock: Clock) -> None:
    one = monitor(redis, clock)
    one.run()
    redis.delete("p:watch")
    clock.now += 4.9
    one.run()
    assert not redis.exists("p:watch")
    clock.now += 0.2
    one.run()
    assert redis.exists("p:watch")


def test_a_clock_that_is_set_back_does_not_stop_the_monitor(redis: "Redis", clock: Clock) -> None:
    one = monitor(redis, clock)
    one.run()
    redis.delete("p:watch")
    clock.now -= 3600
    one.run()
    assert redis.exists("p:watch")


def test_callbacks_that_raised_an_alert_raise_no_second_one_after_its_window(redis: "Redis", clock: Clock) -> None:
    forge(redis, 20, clock)
    observe(redis, clock)
    clock.now += redis.pttl("p:raised:bad_signature_rate:{default}") / 1000
    redis.delete("p:raised:bad_signature_rate:{default}")
    observe(redis, clock)
    assert len(outbox(redis)) == 1


def test_a_condition_that_lasts_raises_another_alert_after_the_window(redis: "Redis", clock: Clock) -> None:
    forge(redis, 20, clock)
    observe(redis, clock)
    clock.now += 661
    redis.delete("p:raised:bad_signature_rate:{default}")
    forge(redis, 20, clock)
    observe(redis, clock)
    assert len({stored.id for stored in outbox(redis)}) == 2


def test_counters_are_summed_over_the_whole_window(redis: "Redis", clock: Clock) -> None:
    start = clock() // 60 * 60
    for age in range(0, 720, 60):
        for command in count_commands("p", "default", "verified", start - age):
            redis.execute_command(*command)
    assert read_counters(redis, "p", ["default"], start, 600)["default"] == {"verified": 11}
    assert read_counters(redis, "p", ["default"], start, 60)["default"] == {"verified": 2}


async def test_a_callback_and_a_decision_are_counted_once_however_often_they_arrive(
    any_redis_url: str, redis: "Redis", clock: Clock
) -> None:
    client = open_async_redis(any_redis_url)
    ledger = Ledger(client, "p", Limits(retention=60.0), clock)
    case = CaseKey("default", "1,a")
    for _ in range(3):
        await arrived(ledger, case, "signed", "0")
        await arrived(ledger, case, "unsigned", "")
        await ledger.commit(case, b"{}", item="i1", attacked=True)
        await ledger.commit(case, b"{}", item="i1")
    await client.aclose()
    assert read_counters(redis, "p", ["default"], clock(), 600)["default"] == {"verified": 1, "attacked": 1}
    (key,) = cast("list[bytes]", redis.keys("p:counters:*"))
    assert 0 < redis.ttl(key) <= COUNTERS_TTL


async def arrived(ledger: Ledger, case: CaseKey, item: str, secret: str) -> None:
    await ledger.arrive(case, item, "notify", fingerprint="", data="", biz_no="", received_at=1.5, secret=secret)


async def test_a_signed_callback_that_is_replayed_often_does_not_hide_forged_ones(
    any_redis_url: str, redis: "Redis", clock: Clock
) -> None:
    client = open_async_redis(any_redis_url)
    ledger = Ledger(client, "p", Limits(retention=60.0), clock)
    for number in range(1_000):
        await arrived(ledger, CaseKey("default", "1,a"), f"replay-{number}", "0")
    await client.aclose()
    forge(redis, 20, clock)
    observe(redis, clock)
    assert kinds(redis) == [("bad_signature_rate", "default")]


@pytest.mark.server
def test_a_full_redis_still_takes_an_alert(private_server: RedisServer, clock: Clock) -> None:
    with private_server.client() as redis:
        forge(redis, 20, clock)
        redis.config_set("maxmemory", 1)
        observe(redis, clock)
        assert sorted(kinds(redis)) == [("bad_signature_rate", "default"), ("memory", "")]
        observe(redis, clock)
        assert len(outbox(redis)) == 2


@pytest.mark.server
def test_a_redis_whose_memory_is_used_over_a_share_raises_an_alert(private_server: RedisServer, clock: Clock) -> None:
    with private_server.client() as redis:
        used = int(redis.info("memory")["used_memory"])
        redis.config_set("maxmemory", used * 2)
        observe(redis, clock)
        assert kinds(redis) == []
        redis.config_set("maxmemory", used + used // 8)
        observe(redis, clock)
        assert kinds(redis) == [("memory", "")]
        assert "limit_share=0.75" in outbox(redis)[0].detail


@pytest.mark.server
def test_an_alert_is_raised_when_redis_is_back(private_server: RedisServer, clock: Clock) -> None:
    with open_redis(private_server.url, socket_timeout=10, retry=None) as redis:
        forge(redis, 20, clock)
        one = monitor(redis, clock)
        private_server.kill()
        one.run()
        private_server.start()

        def raised() -> bool:
            clock.now += 6
            one.run()
            return kinds(redis) == [("bad_signature_rate", "default")]

        until(raised)


def test_a_ledger_that_was_emptied_is_one_alert(redis: "Redis", clock: Clock) -> None:
    first, second = monitor(redis, clock), monitor(redis, clock)
    for each in (first, second, first):
        redis.delete("p:watch")
        clock.now += 10
        each.run()
    assert kinds(redis) == []
    redis.flushall()
    for each in (second, first, second, first, monitor(redis, clock)):
        redis.delete("p:watch")
        clock.now += 10
        each.run()
    assert kinds(redis) == [("ledger_lost", "")]


@pytest.mark.server
def test_a_full_redis_without_an_epoch_stops_no_other_alert(private_server: RedisServer, clock: Clock) -> None:
    with private_server.client() as redis:
        add_dead_letters(redis, 4, clock())
        private_server.config_set("maxmemory", 1)
        observe(redis, clock)
        private_server.config_set("maxmemory", 0)
        assert ("dead_letters_growing", "") in kinds(redis)
        assert not redis.exists("p:epoch")
