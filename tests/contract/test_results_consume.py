"""`consume`, on Redis and on RabbitMQ."""

import json
import threading
from contextlib import ExitStack, closing

import pytest

from deploy.local.rabbit_server import RabbitServer
from shared.events.cloudevent import to_event, to_message
from shared.events.decision import Outcome
from shared.messaging.delivery import Delivery
from shared.messaging.message import Message
from shared.rabbit import Link
from shared.results import Alert, Decision, consume, consume_alerts
from shared.results.queue import ResultQueue
from shared.results.rabbit_subscription import HEARTBEAT_SECONDS, RabbitSubscription
from shared.results.streams_subscription import StreamsSubscription
from tests.support.heartbeats import bytes_sent, move_clock
from tests.support.places import messages_of_rabbit
from tests.support.redis_clients import open_redis
from tests.support.result_makers import DECISIONS, PREFIX, alert, decision, publish, publish_messages
from tests.support.result_readers import consuming, dead_letters, number_of, reads, waiting
from tests.support.servers import RedisServer
from tests.support.stream_clients import expire_leases, pending, renewed
from tests.support.waiting import LIMIT, until

pytestmark = pytest.mark.server


@pytest.fixture(params=["redis", "rabbit"])
def url(request: pytest.FixtureRequest) -> str:
    """An empty broker with the result queues that a publisher declares."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    publish(url, alert())
    return url


class Gate:
    """A handler that does not return before the gate is opened."""

    def __init__(self) -> None:
        self.entered, self.opened = threading.Event(), threading.Event()

    def __call__(self, _: Decision) -> None:
        self.entered.set()
        assert self.opened.wait(LIMIT)


class Failing:
    """A handler that raises for one decision, `times` times."""

    def __init__(self, number: int, times: int) -> None:
        self.number, self.times = number, times

    def __call__(self, decision: Decision) -> None:
        if number_of(decision) == self.number and self.times:
            self.times -= 1
            raise LookupError("a person's name")


# Handling


def test_each_decision_is_handled_complete_and_in_order(url: str) -> None:
    made = [decision(number) for number in range(50)]
    publish(url, *made)
    with consuming(url) as consumer:
        until(lambda: len(consumer.handled) == 50)
    assert consumer.handled == made


def test_a_handled_decision_is_not_delivered_again(url: str) -> None:
    publish(url, decision(1))
    for _ in range(2):
        with consuming(url) as consumer:
            until(lambda: consumer.handled and waiting(url, DECISIONS) == 0)
        publish(url, decision(2))
    with consuming(url) as consumer:
        until(lambda: consumer.handled)
    assert consumer.numbers == [2]


def test_a_decision_is_not_acknowledged_before_its_handler_has_returned(url: str) -> None:
    gate = Gate()
    publish(url, decision(1))
    with ExitStack() as stack:
        first = stack.enter_context(consuming(url, gate))
        assert gate.entered.wait(LIMIT)
        second = stack.enter_context(consuming(url))
        until(second.thread.is_alive)
        publish(url, decision(2))
        until(lambda: second.numbers == [2])
        gate.opened.set()
        first.end()
    with consuming(url) as third:
        publish(url, decision(3))
        until(lambda: third.handled)
    assert third.numbers == [3]


def test_consume_alerts_handles_alerts(url: str) -> None:
    handled: list[Alert] = []
    stop = threading.Event()

    def handle(alert: Alert) -> None:
        handled.append(alert)
        stop.set()

    consume_alerts(url, handle, stop=stop)
    assert handled == [alert()]


# Slow handlers


def test_a_handler_slower_than_a_lease_keeps_its_decision(redis_url: str) -> None:
    """The other consumer looks for expired leases before it reads the new decision."""
    gate = Gate()
    publish(redis_url, decision(1))
    with consuming(redis_url, gate, lease_seconds=1.0, prefetch=1) as consumer, open_redis(redis_url) as redis:
        assert gate.entered.wait(LIMIT)
        expire_leases(redis, DECISIONS)
        until(lambda: renewed(redis, DECISIONS), what="the lease to be renewed")
        publish(redis_url, decision(2))
        with consuming(redis_url) as other:
            until(lambda: other.handled)
        gate.opened.set()
        until(lambda: waiting(redis_url, DECISIONS) == 0)
    assert (consumer.numbers, other.numbers) == ([1], [2])


def test_a_consumer_that_loses_its_leases_goes_on_reading_as_much_as_before(redis_url: str) -> None:
    subscription = StreamsSubscription(redis_url, ResultQueue.of(PREFIX, "decisions", None), 2, LIMIT)
    with closing(subscription), open_redis(redis_url) as redis:
        for number in range(0, 6, 2):
            publish(redis_url, decision(number), decision(number + 1))
            received: list[Delivery] = []
            while len(received) < 2:
                received += subscription.receive(LIMIT)
            for group, entry_id, *_ in pending(redis, DECISIONS):
                redis.xclaim(DECISIONS, group, "another", 0, [entry_id])
            subscription.renew()
            assert not any(map(subscription.holds, received))
            subscription.settle(received)
        assert len(pending(redis, DECISIONS)) == 6, "none is acknowledged by who has lost it"


def test_a_handler_slower_than_the_heartbeat_keeps_its_connection(
    rabbit_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    links: list[Link] = []
    connect = RabbitSubscription._connect

    def noting(subscription: RabbitSubscription) -> Link:
        links.append(connect(subscription))
        return links[-1]

    monkeypatch.setattr(RabbitSubscription, "_connect", noting)
    gate = Gate()
    publish(rabbit_url, alert(), decision(1))
    with consuming(rabbit_url, gate) as consumer:
        assert gate.entered.wait(LIMIT)
        (link,) = links
        sent = bytes_sent(link)
        move_clock(monkeypatch, 0.6 * HEARTBEAT_SECONDS)
        until(lambda: bytes_sent(link) > sent, what="a heartbeat")
        gate.opened.set()
        publish(rabbit_url, decision(2))
        until(lambda: len(consumer.handled) > 1)
    assert consumer.numbers == [1, 2]


# Failing handlers


def test_a_handler_that_raises_is_called_again(url: str) -> None:
    publish(url, decision(1), decision(2))
    with consuming(url, Failing(1, times=2)) as consumer:
        until(lambda: 2 in consumer.numbers)
    assert consumer.numbers == [1, 1, 1, 2]
    assert dead_letters(url, f"{DECISIONS}.dead") == []


def test_a_decision_whose_attempts_all_fail_becomes_a_dead_letter_and_delays_no_other(url: str) -> None:
    publish(url, decision(1), decision(2))
    with consuming(url, Failing(1, times=9), attempts=2) as consumer:
        until(lambda: 2 in consumer.numbers)
    assert consumer.numbers == [1, 1, 2]
    ((body, headers),) = dead_letters(url, f"{DECISIONS}.dead")
    assert body == to_event(decision(1))
    assert (headers["dead-reason"], headers["dead-attempts"]) == ("attempts_exhausted", 2)
    assert headers["dead-detail"].startswith("LookupError at test_results_consume.py:")
    assert headers["ce-id"] == decision(1).id
    assert "person" not in json.dumps(headers)


def test_on_rabbitmq_a_dead_letter_expires_after_the_retention(rabbit_url: str) -> None:
    publish(rabbit_url, decision(1), decision(2))
    with consuming(rabbit_url, Failing(1, times=9), attempts=1, retention_days=2) as consumer:
        until(lambda: consumer.numbers == [1, 2])  # the second is handled after the first is stored
    (dead,) = messages_of_rabbit(rabbit_url, f"{DECISIONS}.dead")
    assert dead.properties["expiration"] == str(2 * 86_400_000)


def test_the_dead_letters_of_a_group_are_its_own(url: str) -> None:
    with consuming(url, Failing(1, times=9), attempts=1, group="billing") as billing, consuming(url) as others:
        until(lambda: billing.thread.is_alive() and others.thread.is_alive())
        until(lambda: reads(url, DECISIONS, "billing"))
        publish(url, decision(1), decision(2))
        until(lambda: billing.numbers == [1, 2] and others.numbers == [1, 2])
    ((_, headers),) = dead_letters(url, f"{DECISIONS}.billing.dead")
    assert headers["dead-from"] == f"{DECISIONS}.billing"
    assert dead_letters(url, f"{DECISIONS}.dead") == []


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"\xff\xfe", b'{"specversion": "1.0", "type": "other"}', to_event(alert())],
    ids=["empty", "cut off", "no text", "somebody else's", "an alert"],
)
def test_a_message_that_is_no_decision_becomes_a_dead_letter_unchanged(url: str, body: bytes) -> None:
    publish_messages(url, [Message(DECISIONS, body, "text/x-odd", {"theirs": "kept"}), to_message(decision(2), PREFIX)])
    with consuming(url) as consumer:
        until(lambda: consumer.handled)
    assert consumer.numbers == [2]
    ((dead, headers),) = dead_letters(url, f"{DECISIONS}.dead")
    assert (dead, headers["dead-reason"], headers["theirs"]) == (body, "undecodable", "kept")


def test_an_entry_that_is_no_message_becomes_a_dead_letter_with_all_its_fields(redis_url: str) -> None:
    with open_redis(redis_url) as redis:
        redis.xadd(DECISIONS, {"who": "knows", "raw": b"\xff"})
    publish(redis_url, decision(2))
    with consuming(redis_url) as consumer:
        until(lambda: consumer.handled)
    ((dead, headers),) = dead_letters(redis_url, f"{DECISIONS}.dead")
    assert json.loads(dead) == {"who": "knows", "raw": "\\xff"}
    assert headers["dead-detail"] == "body: missing"


def test_a_base_exception_of_a_handler_propagates_and_returns_the_decision(url: str) -> None:
    def leave(_: Decision) -> None:
        raise SystemExit(3)

    publish(url, decision(1))
    with pytest.raises(SystemExit):
        consume(url, leave, stop=threading.Event())
    with consuming(url) as consumer:
        until(lambda: consumer.handled)
    assert consumer.numbers == [1]


# Stopping


def test_a_stop_finishes_the_current_decision_and_returns_the_others(url: str) -> None:
    gate = Gate()
    publish(url, *(decision(number) for number in range(5)))
    with consuming(url, gate, lease_seconds=30) as first:
        assert gate.entered.wait(LIMIT)
        first.stop.set()
        gate.opened.set()
        first.end()
    assert first.numbers == [0]
    with consuming(url, lease_seconds=30) as second:
        until(lambda: len(second.handled) == 4)
    assert sorted(second.numbers) == [1, 2, 3, 4]


def test_a_stop_does_not_wait_for_the_backoff_of_a_failing_handler(url: str) -> None:
    publish(url, decision(1))
    with consuming(url, Failing(1, times=99), attempts=99) as consumer:
        until(lambda: len(consumer.handled) > 3)
    assert dead_letters(url, f"{DECISIONS}.dead") == []
    with consuming(url) as second:
        until(lambda: second.handled)


# Several consumers


def test_consumers_of_one_group_share_decisions_and_each_group_gets_all(url: str) -> None:
    both = threading.Barrier(2)
    first = threading.local()

    def handle(_: Decision) -> None:
        """No consumer handles a second decision before each has one."""
        if not getattr(first, "done", False):
            first.done = True
            both.wait(LIMIT)

    with ExitStack() as stack:
        pair = [stack.enter_context(consuming(url, handle, group="billing", prefetch=1)) for _ in range(2)]
        single = stack.enter_context(consuming(url, group="mail"))
        until(lambda: reads(url, DECISIONS, "billing") and reads(url, DECISIONS, "mail"))
        publish(url, *(decision(number) for number in range(40)))
        until(lambda: sum(len(one.handled) for one in pair) == 40 and len(single.handled) == 40)
    assert sorted(number for one in pair for number in one.numbers) == list(range(40))
    assert all(one.handled for one in pair)


def test_a_group_without_consumers_misses_nothing(url: str) -> None:
    with consuming(url, group="mail"):
        until(lambda: reads(url, DECISIONS, "mail"))
    publish(url, *(decision(number) for number in range(5)))
    with consuming(url) as others:
        until(lambda: len(others.handled) == 5)
    with consuming(url, group="mail") as consumer:
        until(lambda: len(consumer.handled) == 5)


def test_a_group_on_rabbitmq_gets_the_decisions_of_its_topics(rabbit_url: str) -> None:
    made = [decision(number, outcome) for number, outcome in enumerate(Outcome)]
    topics = ["decision.*.rejected", "decision.*.review"]
    with consuming(rabbit_url, group="fraud", topics=topics) as fraud, consuming(rabbit_url) as others:
        until(lambda: reads(rabbit_url, DECISIONS, "fraud") and reads(rabbit_url, DECISIONS, "faceid"))
        publish(rabbit_url, *made)
        until(lambda: len(others.handled) == len(made))
    assert {each.outcome for each in fraud.handled} == {Outcome.REJECTED, Outcome.REVIEW}


def test_on_rabbitmq_prefetch_grows_after_several_first_deliveries(rabbit_url: str) -> None:
    gates = {number: Gate() for number in (0, 10)}

    def handle(decision: Decision) -> None:
        if gate := gates.get(number_of(decision)):
            gate(decision)

    def leave(_: Decision) -> None:
        raise SystemExit

    publish(rabbit_url, *(decision(number) for number in range(30)))
    with pytest.raises(SystemExit):
        consume(rabbit_url, leave, stop=threading.Event())
    with consuming(rabbit_url, handle, prefetch=5):
        assert gates[0].entered.wait(LIMIT)  # redelivered
        until(lambda: waiting(rabbit_url, DECISIONS) == 29)
        gates[0].opened.set()
        assert gates[10].entered.wait(LIMIT)
        until(lambda: waiting(rabbit_url, DECISIONS) == 30 - 10 - 5)
        gates[10].opened.set()


# The broker goes away


def test_a_consumer_survives_a_restart_of_redis(private_server: RedisServer) -> None:
    with consuming(private_server.url) as consumer:
        publish(private_server.url, decision(1))
        until(lambda: consumer.numbers == [1])
        private_server.restart()
        publish(private_server.url, decision(2))
        until(lambda: 2 in consumer.numbers)


def test_a_consumer_survives_a_restart_of_rabbitmq(killable_rabbit: RabbitServer, killable_url: str) -> None:
    with consuming(killable_url) as consumer:
        publish(killable_url, decision(1))
        until(lambda: consumer.numbers == [1])
        killable_rabbit.kill()
        killable_rabbit.start()
        publish(killable_url, decision(2))
        until(lambda: 2 in consumer.numbers)


def test_a_consumer_may_start_before_its_broker(private_server: RedisServer) -> None:
    private_server.kill()
    with consuming(private_server.url) as consumer:
        private_server.start()
        publish(private_server.url, decision(1))
        until(lambda: consumer.handled)


def test_a_dead_letter_that_can_not_be_stored_is_not_acknowledged(
    killable_rabbit: RabbitServer, killable_url: str
) -> None:
    url = killable_url
    publish(url, decision(1))
    killable_rabbit.full(full=True)
    try:
        with consuming(url, Failing(1, times=99), attempts=1) as consumer:
            until(lambda: consumer.handled)
            assert dead_letters(url, f"{DECISIONS}.dead") == []
            killable_rabbit.full(full=False)
            until(lambda: _moved_to_dead_letters(url))
    finally:
        killable_rabbit.full(full=False)
    assert consumer.numbers == [1]
    assert {body for body, _ in dead_letters(url, f"{DECISIONS}.dead")} == {to_event(decision(1))}


def _moved_to_dead_letters(url: str) -> bool:
    return waiting(url, f"{DECISIONS}.dead") > 0 == waiting(url, DECISIONS)


# Invalid options


NOBODY = "127.0.0.1:1"


@pytest.mark.parametrize(
    ("scheme", "options", "said"),
    [
        ("stock+redis", {}, "redis:// and amqp:// URLs"),
        ("sqs", {}, "redis:// and amqp:// URLs"),
        ("redis", {"topics": ["decision.*.rejected"]}, "topics need RabbitMQ"),
        ("redis", {"group": "a.b"}, "group"),
        ("amqp", {"group": "dead"}, "group"),
        ("redis", {"attempts": 0}, "attempts"),
        ("amqp", {"prefetch": 0}, "prefetch"),
    ],
)
def test_invalid_options_are_refused_at_once(scheme: str, options: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        consume(f"{scheme}://{NOBODY}", lambda _: None, **options)  # type: ignore[arg-type]  # faulty on purpose
