"""The store of the ingress: batches, time-outs and the backlog, over a broker that does as it is told."""

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence
from typing import cast

import pytest
from structlog.testing import capture_logs

from ingress import store as store_module
from ingress.store import Store
from shared.messaging.async_publisher import AsyncPublisher, ThreadedPublisher
from shared.messaging.envelope import Envelope
from shared.messaging.message import Message
from shared.messaging.publisher import NotStored, Publisher
from tests.support.waiting import eventually


class Broker:
    """A publisher that keeps batches; `gate` closed makes it hang, `fault` makes it fail."""

    def __init__(self) -> None:
        self.batches: list[list[Message]] = []
        self.fault = ""
        self.messages = 0
        self.memory = 0.0
        self.looks = 0
        self.asked: list[Sequence[str]] = []
        self.gate = threading.Event()
        self.gate.set()
        self.threads: set[str] = set()
        self.closed = False

    def publish(self, messages: Sequence[Message]) -> None:
        self._pass()
        self.batches.append(list(messages))

    def depths(self, queues: Sequence[str]) -> list[int]:
        self.looks += 1
        self._pass()
        self.asked.append(queues)
        return [self.messages, *[0] * (len(queues) - 1)]

    def fullness(self) -> float:
        return self.memory

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
    store = Store(ThreadedPublisher(cast("Publisher", broker)), "p", max_backlog=100, max_memory_share=0.9, timeout=1.0)
    yield store
    broker.gate.set()
    if not broker.closed:
        await store.close()


def envelope(body: bytes = b"x") -> Envelope:
    return Envelope.arrived("default", "notify", "POST", body, "", "", 1.0)


async def test_an_envelope_is_on_the_queue_when_put_returns(store: Store, broker: Broker) -> None:
    sent = envelope()
    await store.put(sent)
    assert broker.batches == [[sent.to_message("p.callbacks")]]


async def test_what_arrives_during_a_round_trip_goes_out_together(store: Store, broker: Broker) -> None:
    await asyncio.gather(*(store.put(envelope(bytes([number]))) for number in range(50)))
    assert sum(len(batch) for batch in broker.batches) == 50
    assert len(broker.batches) <= 2


async def test_the_broker_is_used_by_one_thread_only(store: Store, broker: Broker) -> None:
    await asyncio.gather(*(store.put(envelope()) for _ in range(5)), store.ready(), store.measure())
    assert len(broker.threads) == 1


async def test_a_broker_that_fails_is_told_at_once(store: Store, broker: Broker) -> None:
    broker.fault = "OperationalError"
    with pytest.raises(NotStored, match="OperationalError"):
        await store.put(envelope())


class Picky:
    """Takes what is not called `bad`."""

    async def publish(self, messages: Sequence[Message]) -> Sequence[NotStored | None]:
        return [NotStored("OutOfMemoryError") if message.body == b"bad" else None for message in messages]


async def test_one_that_the_broker_refuses_is_told_alone() -> None:
    store = Store(cast("AsyncPublisher", Picky()), "p", max_backlog=100, max_memory_share=0.9, timeout=5)
    puts = [store.put(envelope(body)) for body in (b"good", b"bad", b"fine")]
    told = await asyncio.gather(*puts, return_exceptions=True)
    assert [str(answer) for answer in told] == ["None", "OutOfMemoryError", "None"]


async def test_a_broker_that_hangs_is_told_after_the_timeout(store: Store, broker: Broker) -> None:
    broker.gate.clear()
    with pytest.raises(NotStored, match="timeout"):
        await store.put(envelope())
    assert not await store.ready()


async def test_what_is_given_up_before_it_is_sent_is_not_stored_later(store: Store, broker: Broker) -> None:
    broker.gate.clear()
    on_its_way = asyncio.create_task(store.put(envelope(b"on its way")))
    await eventually(lambda: broker.threads)
    waiting = asyncio.create_task(store.put(envelope(b"waiting")))
    assert [type(answer) for answer in await asyncio.gather(on_its_way, waiting, return_exceptions=True)] == [
        NotStored
    ] * 2
    broker.gate.set()
    await store.put(envelope(b"delayed"))
    assert [[message.body for message in batch] for batch in broker.batches] == [[b"on its way"], [b"delayed"]]


async def test_over_the_backlog_nothing_is_stored_and_the_broker_is_not_asked(store: Store, broker: Broker) -> None:
    broker.messages = 101
    await store.measure()
    with pytest.raises(NotStored, match="backlog"):
        await store.put(envelope())
    assert broker.batches == []
    assert not await store.ready()


async def test_at_the_limit_it_is_still_stored_and_below_it_again(store: Store, broker: Broker) -> None:
    for messages in (100, 0):
        broker.messages = messages
        assert await store.ready()
        await store.put(envelope())
    assert len(broker.batches) == 2


async def test_the_backlog_is_that_of_all_inner_queues(store: Store, broker: Broker) -> None:
    await store.measure()
    assert broker.asked == [("p.callbacks", "p.verified", "p.reconciled", "p.decided")]


async def test_the_backlog_of_each_stage_is_that_of_the_queue_it_reads(store: Store, broker: Broker) -> None:
    broker.messages = 7
    await store.measure()
    assert store.stage_backlog == {"verify": 7, "reconcile": 0, "classify": 0, "publish": 0}
    assert store.backlog == 7


async def test_a_broker_that_goes_and_comes_back_is_logged_once_each(
    store: Store, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "MEASURE_INTERVAL", 0.001)
    with capture_logs() as lines:
        broker.fault = "OperationalError"
        watch = asyncio.create_task(store.monitor())
        await eventually(lambda: broker.looks >= 3)
        broker.fault = ""
        await eventually(lambda: len(broker.asked) >= 3)
        watch.cancel()
    assert [(line["log_level"], line.get("why")) for line in lines] == [("error", "OperationalError"), ("info", None)]


async def test_closing_lets_go_of_the_broker(store: Store, broker: Broker) -> None:
    await store.close()
    assert broker.closed


async def test_while_the_broker_is_nearly_full_nothing_is_taken_in_and_then_it_is_again(
    store: Store, broker: Broker
) -> None:
    broker.memory = 0.95
    assert not await store.ready()
    with pytest.raises(NotStored, match="memory"):
        await store.put(envelope())
    broker.memory = 0.9
    assert await store.ready()
    await store.put(envelope())
    assert len(broker.batches) == 1
