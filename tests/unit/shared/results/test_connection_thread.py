"""The connection thread of a consumer, over a subscription in memory."""

import signal
import threading
import time
from collections import deque
from collections.abc import Sequence

import pytest

from shared.messaging import broker_thread
from shared.messaging.delivery import Delivery
from shared.messaging.errors import BrokerUnavailable
from shared.results import connection_thread as connection_thread_module
from shared.results.connection_thread import ConnectionThread
from tests.support.waiting import until


class FakeSubscription:
    """Gives out its batches; `lost` are tags that it no longer holds, `fault` is raised by every call."""

    def __init__(self, *batches: Sequence[str]) -> None:
        self.batches = deque(batches)
        self.settled: list[str] = []
        self.lost: set[str] = set()
        self.fault: Exception | None = None
        self.renewals = 0
        self.closed = False

    def receive(self, wait: float) -> Sequence[Delivery]:
        self._fail()
        if not self.batches:
            time.sleep(min(wait, 0.002))
            return []
        return [Delivery(tag, "decisions", {}, "", b"") for tag in self.batches.popleft()]

    def settle(self, settlements: Sequence[Delivery]) -> None:
        self._fail()
        self.settled += [delivery.tag for delivery in settlements if delivery.tag not in self.lost]

    def renew(self) -> None:
        self._fail()
        self.renewals += 1

    def holds(self, delivery: Delivery) -> bool:
        return delivery.tag not in self.lost

    def close(self) -> None:
        self.closed = True

    def _fail(self) -> None:
        if self.fault is not None:
            raise self.fault


@pytest.fixture(autouse=True)
def _short_intervals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broker_thread, "UPKEEP_INTERVAL", 0.005)
    monkeypatch.setattr(broker_thread, "DOWN_PAUSES", (0.001, 0.002))
    monkeypatch.setattr(connection_thread_module, "END_SECONDS", 0.05)


def started(subscription: FakeSubscription) -> tuple[ConnectionThread, threading.Event]:
    stop = threading.Event()
    thread = ConnectionThread(subscription, stop)
    thread.start()
    return thread, stop


def test_finished_messages_are_acknowledged_and_the_others_handed_back() -> None:
    subscription = FakeSubscription(["a", "b"], ["c"])
    thread, stop = started(subscription)
    received = []
    for delivery in thread.received():
        received.append(delivery.tag)
        if delivery.tag == "c":
            stop.set()
        else:
            thread.finish(delivery)
    thread.end()
    assert received == ["a", "b", "c"]
    assert subscription.settled == ["a", "b"]
    assert subscription.closed


def test_a_message_whose_lease_was_lost_is_left_out_and_no_longer_in_work() -> None:
    subscription = FakeSubscription(["a", "b"])
    subscription.lost.add("a")
    thread, stop = started(subscription)
    for delivery in thread.received():
        assert delivery.tag == "b"
        thread.finish(delivery)
        stop.set()
    until(lambda: subscription.settled == ["b"])
    thread.end()
    assert thread._in_work == 0


def test_after_the_stop_leases_are_renewed_until_the_end_and_nothing_is_read() -> None:
    subscription = FakeSubscription(["a"])
    thread, stop = started(subscription)
    for delivery in thread.received():
        stop.set()
        until(lambda: subscription.renewals >= 1)
        subscription.batches.append(["late"])
        until(lambda: subscription.renewals >= 3)
        thread.finish(delivery)
    thread.end()
    assert subscription.settled == ["a"]
    assert list(subscription.batches) == [["late"]]


def test_an_outage_delays_the_acknowledgement_and_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    subscription = FakeSubscription(["a"])
    thread, stop = started(subscription)
    for delivery in thread.received():
        subscription.fault = BrokerUnavailable("ConnectionError")
        thread.finish(delivery)
        until(lambda: thread._failures >= 3)
        subscription.fault = None
        until(lambda: subscription.settled == ["a"] and thread._failures == 0)
        stop.set()
    thread.end()
    events = [record.getMessage().partition(" ") for record in caplog.records]
    assert [name for name, _, _ in events] == ["broker.unavailable", "broker.recovered"]
    assert events[0][2] == "error=ConnectionError in_flight=1"


def test_an_unavailable_broker_does_not_prevent_the_end() -> None:
    subscription = FakeSubscription(["a"])
    thread, stop = started(subscription)
    for delivery in thread.received():
        subscription.fault = BrokerUnavailable("ConnectionError")
        thread.finish(delivery)
        stop.set()
    thread.end()
    assert subscription.closed


def test_any_other_exception_ends_the_iteration_and_is_raised_by_end() -> None:
    subscription = FakeSubscription()
    subscription.fault = KeyError("broken")
    thread, _ = started(subscription)
    assert list(thread.received()) == []
    with pytest.raises(KeyError):
        thread.end()
    assert subscription.closed


def test_a_stop_by_a_slow_signal_handler_ends_the_wait_for_messages() -> None:
    stop_check = connection_thread_module.STOP_CHECK
    thread, stop = started(FakeSubscription())

    def on_signal(_number: int, _frame: object) -> None:
        time.sleep(2 * stop_check)
        stop.set()

    before = signal.signal(signal.SIGUSR1, on_signal)
    this_thread = threading.get_ident()
    try:
        threading.Timer(stop_check / 4, signal.pthread_kill, (this_thread, signal.SIGUSR1)).start()
        assert list(thread.received()) == []
    finally:
        signal.signal(signal.SIGUSR1, before)
        thread.end()
