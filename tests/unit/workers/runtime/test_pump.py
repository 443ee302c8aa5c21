"""The pump: it reads, settles, survives an outage of the broker, and ends."""

import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from types import SimpleNamespace

import pytest
from redis.exceptions import OutOfMemoryError
from structlog.testing import capture_logs

from shared.ledger.message_set import MessageSet
from shared.messaging import broker_thread
from shared.messaging.delivery import Delivery
from shared.messaging.errors import BrokerUnavailable
from shared.messaging.message import Message
from tests.support.waiting import LIMIT, until
from workers.runtime.pump import MANY_IN_WORK, Pump
from workers.runtime.settlement import Settlement


class FakeSource:
    """A broker in memory. Calls whose names are in `down` fail; `faults` are raised by the next receive."""

    def __init__(self) -> None:
        self.batches: deque[list[Delivery]] = deque()
        self.settled: list[list[str]] = []
        self.down: set[str] = set()
        self.faults: deque[Exception] = deque()
        self.full = False
        self.calls: list[str] = []
        self.closed = False
        self.given_back: list[str] = []
        self.probation = False
        self.waits: deque[float] = deque(maxlen=10)

    def receive(self, wait: float) -> Sequence[Delivery]:
        self._call("receive")
        self.waits.append(wait)
        if self.faults:
            raise self.faults.popleft()
        if not self.batches:
            time.sleep(min(wait, 0.002))
            return []
        return self.batches.popleft()

    def settle(self, settlements: Sequence[Settlement]) -> None:
        self._call("settle")
        self.settled.append([settlement.tag for settlement in settlements])

    def renew(self) -> None:
        self._call("renew")

    def give_back(self, tags: Sequence[str]) -> None:
        self._call("give_back")
        self.given_back += tags

    def on_probation(self) -> bool:
        return self.probation

    def release(self, message_set: MessageSet, leaving: Sequence[tuple[str, Message]], *, results: bool) -> list[str]:
        raise NotImplementedError

    def oldest(self, queues: Sequence[str]) -> float | None:
        raise NotImplementedError

    def maintenance(self) -> None:
        self._call("maintenance")

    def close(self) -> None:
        self.closed = True

    def _call(self, name: str) -> None:
        self.calls.append(name)
        if name in self.down:
            raise BrokerUnavailable("ConnectionError")
        if name == "settle" and self.full:
            raise BrokerUnavailable("OutOfMemoryError") from OutOfMemoryError("OOM")


class Bench:
    """A pump over a fake source, and the worker's side of it."""

    def __init__(self, grace: float = 5.0) -> None:
        self.source = FakeSource()
        self.delivered: list[str] = []
        self.finished: list[str] = []
        self.threads: set[str] = set()
        self.ended = threading.Event()
        self.paused = False
        self.pump = Pump(
            self.source, self._deliver, self.source.maintenance, self.ended.set, lambda: self.paused, grace
        )

    def _deliver(self, batch: Sequence[Delivery]) -> None:
        self.threads.add(threading.current_thread().name)
        self.delivered += [delivery.tag for delivery in batch]

    def offer(self, *tags: str) -> None:
        """Have the pump read a batch of messages; returns when they are delivered."""
        self.source.batches.append([Delivery(tag, "callbacks", {}, "", b"") for tag in tags])
        until(lambda: set(tags) <= set(self.delivered))

    def finish(self, *tags: str) -> None:
        self.finished += tags
        for tag in tags:
            self.pump.finish(Settlement(tag))

    def settled(self) -> list[str]:
        return [tag for batch in self.source.settled for tag in batch]

    def join(self) -> None:
        self.pump.join(5)
        assert not self.pump.is_alive()


@pytest.fixture(autouse=True)
def _short_intervals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broker_thread, "UPKEEP_INTERVAL", 0.005)
    monkeypatch.setattr(broker_thread, "DOWN_PAUSES", (0.001, 0.002))


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    bench.pump.start()
    yield bench
    bench.source.down.clear()
    bench.finish(*(tag for tag in bench.delivered if tag not in bench.finished))
    bench.pump.stop()
    bench.join()


def test_messages_are_delivered_on_the_pumps_own_thread(bench: Bench) -> None:
    bench.offer("a", "b")
    bench.offer("c")
    assert bench.delivered == ["a", "b", "c"]
    assert bench.threads == {"pump"}


def test_finished_messages_are_settled_together_and_in_order(bench: Bench) -> None:
    tags = [str(number) for number in range(50)]
    bench.offer(*tags)
    bench.source.down.add("settle")
    bench.finish(*tags)
    until(lambda: bench.source.calls.count("settle") >= 1)
    bench.source.down.clear()
    until(bench.settled)
    assert bench.settled() == tags
    assert len(bench.source.settled) <= 2


def test_while_messages_are_in_work_reading_does_not_wait(bench: Bench) -> None:
    bench.offer("a")
    until(lambda: not any(bench.source.waits))  # all of the last ones
    bench.finish("a")
    until(lambda: all(bench.source.waits))  # with nothing in work there is time


def test_a_woken_pump_settles_at_once(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Pump, "BUSY_WAIT", 60.0)
    bench.offer("a")
    until(lambda: bench.source.waits[-1] == 0)  # it has found no more, and rests
    bench.finish("a")
    bench.pump.wake()
    until(bench.settled)
    assert bench.settled() == ["a"]


def test_with_many_messages_in_work_the_pump_waits_in_each_turn(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Pump, "BUSY_WAIT", 0.02)
    tags = [str(number) for number in range(2 * MANY_IN_WORK)]
    bench.offer(*tags)
    bench.source.calls.clear()
    for tag in tags[: MANY_IN_WORK // 2]:
        bench.finish(tag)
        bench.pump.wake()
        time.sleep(0.002)
    until(lambda: len(bench.settled()) == MANY_IN_WORK // 2)
    assert bench.source.calls.count("settle") <= 6


def test_messages_finished_during_an_outage_are_settled_once_after_it(bench: Bench) -> None:
    bench.offer("a", "b")
    bench.source.down |= {"settle", "receive", "renew", "maintenance"}
    bench.finish("a")
    until(lambda: bench.source.calls.count("settle") >= 5)
    bench.finish("b")
    bench.source.down.clear()
    until(lambda: len(bench.settled()) == 2)
    bench.offer("c")
    assert bench.settled() == ["a", "b"]


def test_while_settling_fails_nothing_is_read_and_leases_are_renewed(bench: Bench) -> None:
    bench.offer("a")
    bench.source.down.add("settle")  # as when the results' broker is away, and the queues' is not
    bench.finish("a")
    until(lambda: bench.source.calls.count("settle") >= 1)
    bench.source.calls.clear()
    until(lambda: bench.source.calls.count("settle") >= 10)
    assert bench.source.calls.count("receive") <= 1
    assert bench.source.calls.count("renew") >= 9


def test_an_outage_is_logged_when_it_begins_and_when_it_ends() -> None:
    bench = Bench()
    with capture_logs() as lines:
        bench.source.down |= {"receive", "renew"}
        bench.pump.start()
        until(lambda: bench.source.calls.count("receive") >= 5)
        bench.source.down.clear()
        bench.offer("a")
        bench.finish("a")
        bench.pump.stop()
        bench.join()
    events = [(line["log_level"], line["event"]) for line in lines]
    assert events == [("error", "broker.unavailable"), ("info", "broker.recovered"), ("info", "pump.stopped")]


def test_maintenance_runs_with_and_without_work(bench: Bench) -> None:
    for _ in range(2):
        bench.source.calls.clear()
        until(lambda: bench.source.calls.count("maintenance") >= 3)
        bench.offer("a")


def test_failed_maintenance_is_tried_again_and_reading_goes_on(bench: Bench) -> None:
    bench.source.down.add("maintenance")
    until(lambda: bench.source.calls.count("maintenance") >= 3)
    bench.offer("a")
    assert bench.pump.failure is None


# Stopping


def test_an_idle_pump_stops_at_once() -> None:
    bench = Bench(grace=60)
    bench.pump.start()
    bench.pump.stop()
    bench.join()
    assert bench.source.closed
    assert bench.ended.is_set()
    assert bench.pump.failure is None


def test_a_stopping_pump_reads_no_more_and_waits_for_the_messages_in_work() -> None:
    bench = Bench(grace=60)
    bench.pump.start()
    bench.offer("a", "b")
    bench.pump.stop()
    until(lambda: bench.source.calls.count("renew") >= 2)
    bench.source.calls.clear()
    bench.source.batches.append([Delivery("late", "callbacks", {}, "", b"")])
    bench.finish("a")
    until(lambda: bench.settled() == ["a"])
    assert bench.pump.is_alive()
    bench.finish("b")
    bench.join()
    assert bench.settled() == ["a", "b"]
    assert bench.delivered == ["a", "b"]
    assert "receive" not in bench.source.calls


def test_after_the_grace_period_the_messages_in_work_are_handed_back() -> None:
    bench = Bench(grace=0.05)
    bench.pump.start()
    bench.offer("a", "b")
    bench.finish("a")
    with capture_logs() as lines:
        bench.pump.stop()
        bench.join()
    assert bench.settled() == ["a"]
    assert bench.source.closed
    assert lines[-1] == {"event": "pump.stopped", "handed_back": 1, "log_level": "info"}


def test_an_unavailable_broker_does_not_delay_the_end() -> None:
    bench = Bench(grace=0.05)
    bench.pump.start()
    bench.offer("a")
    bench.source.down |= {"settle", "receive", "renew"}
    bench.finish("a")
    bench.pump.stop()
    bench.join()
    assert bench.source.closed
    assert bench.pump.failure is None


def test_a_second_signal_does_not_prolong_the_grace_period() -> None:
    bench = Bench(grace=0.1)
    bench.pump.start()
    bench.offer("a")
    bench.pump.stop()
    began = time.monotonic()
    while bench.pump.is_alive():
        assert time.monotonic() - began < LIMIT
        bench.pump.stop()
        time.sleep(0.001)


@pytest.mark.parametrize("in_work", [(), ("a",)])
def test_any_other_exception_ends_the_pump_is_logged_and_hands_messages_back(in_work: tuple[str, ...]) -> None:
    bench = Bench(grace=60)
    bench.pump.start()
    bench.offer(*in_work)
    with capture_logs() as lines:
        bench.source.faults.append(KeyError("Jane Doe"))
        assert bench.ended.wait(5)
        bench.join()
    assert isinstance(bench.pump.failure, KeyError)
    assert bench.source.closed
    assert [(line["log_level"], line["event"]) for line in lines] == [
        ("error", "pump.failed"),
        ("info", "pump.stopped"),
    ]


def test_a_paused_pump_settles_and_renews_but_reads_nothing(bench: Bench) -> None:
    bench.offer("a", "b")
    bench.paused = True
    bench.finish("a")
    bench.pump.wake()
    until(lambda: bench.settled() == ["a"])
    until(lambda: "renew" in bench.source.calls)
    bench.source.batches.append([Delivery("c", "callbacks", {}, "", b"")])
    bench.source.calls.clear()
    until(lambda: bench.source.calls.count("maintenance") >= 3)
    assert "receive" not in bench.source.calls
    bench.paused = False
    until(lambda: "c" in bench.delivered)


def test_a_full_ledger_that_refuses_settlements_does_not_stop_the_maintenance(bench: Bench) -> None:
    """It frees memory, by deleting what is too old or too much."""
    bench.offer("a")
    bench.source.full = True
    bench.finish("a")
    bench.source.calls.clear()
    until(lambda: bench.source.calls.count("maintenance") >= 3)
    bench.source.full = False
    until(lambda: bench.settled() == ["a"])


class SlowSource(FakeSource):
    """Every call takes six seconds, and fails when its name is in `down`. `idle` notes how long the pump was silent."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        super().__init__()
        self._now = 1000.0
        self.idle: list[float] = []
        self.pump: Pump | None = None
        clock = SimpleNamespace(monotonic=lambda: self._now, sleep=self._pass)
        patch.setattr("shared.messaging.broker_thread.time", clock)

    def _pass(self, seconds: float) -> None:
        self._now += seconds

    def _call(self, name: str) -> None:
        assert self.pump is not None
        self._now += 6.0
        self.idle.append(self._now - self.pump.turned_at)
        super()._call(name)


@pytest.mark.parametrize("down", [set[str](), {"receive"}, {"receive", "renew"}, {"maintenance", "renew"}])
def test_a_pump_whose_broker_is_slow_or_away_still_turns(down: set[str], monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        source = SlowSource(patch)
        pump = source.pump = Pump(source, lambda _: None, source.maintenance, lambda: None, lambda: False, 5.0)
        source.down = down
        for _ in range(20):
            pump._try_turn()
    assert max(source.idle) == 6.0
    assert pump.connected == (not down)
