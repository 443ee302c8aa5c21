"""The store of the ingress: batches, timeouts and limits, with a controlled broker."""

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence
from typing import cast

import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from ingress import store as store_module
from ingress.admission import Admission
from ingress.store import Store
from ingress.watch import Measured, Watch
from shared.messaging.async_publisher import AsyncPublisher, ThreadedPublisher
from shared.messaging.envelope import Envelope
from shared.messaging.memory import Memory
from shared.messaging.message import Message
from shared.messaging.publisher import NotStored, Publisher
from tests.support.payloads import new_envelope
from tests.support.waiting import eventually

LIMIT = 100_000_000
"""The broker's memory limit."""


class QuietWatch:
    """Measures the broker alone."""

    def __init__(self, publisher: AsyncPublisher) -> None:
        self._publisher = publisher

    async def measure(self) -> Measured:
        depths = await self._publisher.depths(("callbacks", "verified", "reconciled", "decided"))
        return Measured(depths, [await self._publisher.memory()])

    async def close(self) -> None:
        """Nothing is open."""


def make_store(publisher: AsyncPublisher, timeout: float = 1.0) -> Store:
    watch = cast("Watch", QuietWatch(publisher))
    return Store(publisher, watch, Admission(max_backlog=100, max_memory_share=0.9), "p", timeout)


class Broker:
    """A publisher that keeps batches. It hangs while `gate` is not set, and fails with `fault` if that is set."""

    def __init__(self) -> None:
        self.batches: list[list[Message]] = []
        self.fault = ""
        self.messages = 0
        self.used = 0
        self.measurements = 0
        self.asked: list[Sequence[str]] = []
        self.gate = threading.Event()
        self.gate.set()
        self.threads: set[str] = set()
        self.closed = False

    def publish(self, messages: Sequence[Message]) -> None:
        self._pass()
        self.batches.append(list(messages))

    def depths(self, queues: Sequence[str]) -> list[int]:
        self.measurements += 1
        self._pass()
        self.asked.append(queues)
        return [self.messages, *[0] * (len(queues) - 1)]

    def memory(self) -> Memory:
        return Memory(self.used, LIMIT)

    def close(self) -> None:
        self.closed = True

    def _pass(self) -> None:
        self.threads.add(threading.current_thread().name)
        self.gate.wait(10)
        if self.fault:
            raise NotStored(self.fault)


@pytest.fixture
def broker() -> Broker:
    return Broker()


@pytest.fixture
async def store(broker: Broker) -> AsyncIterator[Store]:
    store = make_store(ThreadedPublisher(cast("Publisher", broker)))
    yield store
    broker.gate.set()
    if not broker.closed:
        await store.close()


def envelope(body: bytes = b"x") -> Envelope:
    return new_envelope("default", "notify", "POST", body, "", "", 1.0)


async def test_an_envelope_is_on_the_queue_when_put_returns(store: Store, broker: Broker) -> None:
    sent = envelope()
    await store.put(sent)
    assert broker.batches == [[sent.to_message("p.callbacks")]]


async def test_callbacks_that_arrive_during_a_round_trip_are_published_together(store: Store, broker: Broker) -> None:
    await asyncio.gather(*(store.put(envelope(bytes([number]))) for number in range(50)))
    assert sum(len(batch) for batch in broker.batches) == 50
    assert len(broker.batches) <= 2


async def test_the_broker_is_used_by_one_thread_only(store: Store, broker: Broker) -> None:
    await asyncio.gather(*(store.put(envelope()) for _ in range(5)), store.measure())
    assert len(broker.threads) == 1


async def test_a_failing_broker_raises_not_stored_at_once(store: Store, broker: Broker) -> None:
    broker.fault = "OperationalError"
    with pytest.raises(NotStored, match="OperationalError"):
        await store.put(envelope())


class RefusingPublisher:
    """Refuses messages with the body `bad`."""

    async def publish(self, messages: Sequence[Message]) -> Sequence[NotStored | None]:
        return [NotStored("OutOfMemoryError") if message.body == b"bad" else None for message in messages]


async def test_a_message_that_the_broker_refuses_fails_alone() -> None:
    store = make_store(cast("AsyncPublisher", RefusingPublisher()), timeout=5)
    puts = [store.put(envelope(body)) for body in (b"good", b"bad", b"fine")]
    answers = await asyncio.gather(*puts, return_exceptions=True)
    assert [str(answer) for answer in answers] == ["None", "OutOfMemoryError", "None"]


async def test_a_hanging_broker_raises_not_stored_after_the_timeout(store: Store, broker: Broker) -> None:
    broker.gate.clear()
    with pytest.raises(NotStored, match="timeout"):
        await store.put(envelope())


async def test_a_callback_that_timed_out_before_it_was_sent_is_not_stored_later(store: Store, broker: Broker) -> None:
    broker.gate.clear()
    sent_already = asyncio.create_task(store.put(envelope(b"sent already")))
    await eventually(lambda: broker.threads)
    waiting = asyncio.create_task(store.put(envelope(b"waiting")))
    assert [type(answer) for answer in await asyncio.gather(sent_already, waiting, return_exceptions=True)] == [
        NotStored
    ] * 2
    broker.gate.set()
    await store.put(envelope(b"delayed"))
    assert [[message.body for message in batch] for batch in broker.batches] == [[b"sent already"], [b"delayed"]]


async def test_over_the_backlog_limit_nothing_is_stored_and_no_broker_is_asked(store: Store, broker: Broker) -> None:
    broker.messages = 101
    await store.measure()
    with pytest.raises(NotStored, match="backlog"):
        await store.put(envelope())
    assert broker.batches == []


async def test_at_and_below_the_backlog_limit_callbacks_are_stored(store: Store, broker: Broker) -> None:
    for messages in (100, 0):
        broker.messages = messages
        await store.measure()
        await store.put(envelope())
    assert len(broker.batches) == 2


async def test_the_backlog_of_a_stage_counts_the_queue_it_reads(store: Store, broker: Broker) -> None:
    broker.messages = 7
    await store.measure()
    assert store.stage_backlog == {"verify": 7, "reconcile": 0, "classify": 0, "publish": 0}
    assert store.backlog == 7
    assert REGISTRY.get_sample_value("faceid_backlog") == 7
    assert REGISTRY.get_sample_value("faceid_stage_backlog", {"stage": "verify"}) == 7


@pytest.fixture
async def monitored(store: Store, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Store]:
    """The store while its monitor measures."""
    monkeypatch.setattr(store_module, "MEASURE_INTERVAL", 0.001)
    watch = asyncio.create_task(store.monitor())
    yield store
    watch.cancel()


def test_before_the_first_measurement_a_store_is_not_ready(broker: Broker) -> None:
    store = make_store(cast("AsyncPublisher", RefusingPublisher()))
    assert store.fault() == "the broker has not answered yet"


async def test_a_store_is_ready_as_long_as_callbacks_can_be_stored(monitored: Store, broker: Broker) -> None:
    await eventually(lambda: monitored.fault() == "")
    broker.messages = 101
    await eventually(lambda: monitored.fault() == "backlog")
    broker.fault = "OperationalError"
    await eventually(lambda: monitored.fault() == "OperationalError")
    broker.messages, broker.fault = 0, ""
    await eventually(lambda: monitored.fault() == "")


async def test_a_store_whose_broker_does_not_answer_is_not_ready(
    monitored: Store, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    await eventually(lambda: monitored.fault() == "")
    monkeypatch.setattr(store_module, "STALE_SECONDS", 0.1)
    broker.gate.clear()
    await eventually(lambda: monitored.fault().startswith("the broker has not answered for"))


async def test_suspending_and_resuming_are_logged_once_each(
    store: Store, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "MEASURE_INTERVAL", 0.001)
    with capture_logs() as lines:
        broker.fault = "OperationalError"
        watch = asyncio.create_task(store.monitor())
        await eventually(lambda: broker.measurements >= 3)
        broker.fault = ""
        await eventually(lambda: len(broker.asked) >= 3)
        watch.cancel()
    assert [(line["log_level"], line.get("why")) for line in lines] == [("error", "OperationalError"), ("info", None)]


async def test_close_closes_the_publisher(store: Store, broker: Broker) -> None:
    await store.close()
    assert broker.closed


async def test_over_the_memory_limit_nothing_is_stored(store: Store, broker: Broker) -> None:
    broker.used = 95_000_000
    await store.measure()
    with pytest.raises(NotStored, match="memory"):
        await store.put(envelope())
    broker.used = 80_000_000
    await store.measure()
    await store.put(envelope())
    assert len(broker.batches) == 1


async def test_callbacks_between_two_measurements_count_towards_the_backlog(store: Store, broker: Broker) -> None:
    broker.messages = 95
    await store.measure()
    answers = await asyncio.gather(*(store.put(envelope()) for _ in range(20)), return_exceptions=True)
    assert [str(answer) for answer in answers] == ["None"] * 6 + ["backlog"] * 14
    await store.measure()
    await store.put(envelope())


async def test_a_callback_that_is_still_being_stored_counts_beside_the_next_measurement(broker: Broker) -> None:
    """The measurement may have been made before the broker held it."""
    store = make_store(ThreadedPublisher(cast("Publisher", broker)), timeout=60.0)
    broker.messages = 100
    await store.measure()
    broker.gate.clear()
    waiting = asyncio.create_task(store.put(envelope()))
    await eventually(lambda: store._admission.refusal(0))
    store._admission.update(100, [], store._admission.ended)
    with pytest.raises(NotStored, match="backlog"):
        await store.put(envelope())
    broker.gate.set()
    await waiting
    await store.measure()
    await store.put(envelope())
    await store.close()
