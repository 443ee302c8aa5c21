"""A worker's messages over Redis Streams, with ledger and results on the same Redis or on others."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from typing import cast

import pytest
from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from shared.brokers.factory import open_publisher
from shared.ledger.message_set import MessageSet, put_commands
from shared.messaging.envelope import Envelope
from shared.messaging.errors import BrokerUnavailable
from shared.messaging.message import Message
from shared.messaging.publisher import NotStored, Publisher
from shared.messaging.stored_message import StoredMessage
from tests.support.places import receive
from tests.support.redis_clients import open_redis
from tests.support.stream_clients import expire_leases
from workers.runtime.settlement import Settlement
from workers.sources.redis_streams import StreamsSource

QUEUES = {"p.callbacks": "callbacks", "p.verified": "verified"}
LEASE = 30.0
CASE = "p:case:{default}:1,a"
ONCE = (CASE, "published", "id")


class ResultsBroker:
    """A fake broker for results; `away` makes it fail."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.away = False

    def publish(self, messages: Sequence[Message]) -> None:
        if self.away:
            raise NotStored("OperationalError")
        self.messages += messages

    def keep(self) -> None:
        pass

    def close(self) -> None:
        pass


class Place:
    """The Redis of the queues, and the servers of ledger and results if they are others."""

    def __init__(self, url: str, apart: bool) -> None:
        self.url = url
        self.redis = open_redis(url)
        self.ledger = open_redis(f"{url.removesuffix('/0')}/1") if apart else self.redis
        self.results = ResultsBroker() if apart else None
        self._apart = apart
        self._stack = ExitStack()

    def source(self) -> StreamsSource:
        """The source of one worker."""
        results = cast("Publisher | None", self.results)
        source = StreamsSource(self.url, QUEUES, 100, LEASE, results, self.ledger if self._apart else None, "p")
        self._stack.callback(source.close)
        return source

    def decisions(self) -> list[bytes]:
        """The bodies of what has been published."""
        if self.results is not None:
            return [message.body for message in self.results.messages]
        return bodies(self.redis, "p.decisions")

    def close(self) -> None:
        self._stack.close()
        self.ledger.close()
        self.redis.close()


@pytest.fixture(params=["together", "apart"])
def place(request: pytest.FixtureRequest, any_redis_url: str) -> Iterator[Place]:
    place = Place(any_redis_url, apart=request.param == "apart")
    yield place
    place.close()


def publish(place: Place, *messages: Message) -> None:
    publisher = open_publisher(place.url, 60.0)
    publisher.publish(messages)
    publisher.close()


def envelope(name: str, body: bytes = b"data=1&sign=2", content_type: str = "text/form") -> Message:
    return Envelope(name, "default", "notify", "POST", 5.5, body, content_type).to_message("p.callbacks")


def bodies(redis: "Redis", queue: str) -> list[bytes]:
    entries = cast("list[tuple[bytes, dict[bytes, bytes]]]", redis.xrange(queue))
    return [fields[b"body"] for _, fields in entries]


every_byte = pytest.mark.parametrize("content_type", ["", "text/form"])


@every_byte
def test_a_message_is_delivered_as_it_was_published(content_type: str, place: Place) -> None:
    publish(place, envelope("i1", bytes(range(256)), content_type))
    (delivery,) = receive(place.source())
    assert (delivery.queue, delivery.delivery_count, delivery.fault) == ("callbacks", 0, "")
    read = Envelope.read(delivery.headers, delivery.content_type, delivery.body)
    assert (read.id, read.body) == ("i1", bytes(range(256)))
    assert read.content_type == (content_type or "application/data")  # kombu's word for bytes of no type


def test_an_entry_that_is_no_message_is_delivered_with_its_fault_and_fields(place: Place) -> None:
    place.redis.xadd("p.callbacks", {"headers": "{", "body": b"\xff"})
    (delivery,) = receive(place.source())
    assert delivery.fault.startswith("headers: ")
    assert dict(delivery.entry) == {b"headers": b"{", b"body": b"\xff"}


def test_a_settlement_moves_a_message_on(place: Place) -> None:
    publish(place, envelope("i1"))
    source = place.source()
    (delivery,) = receive(source)
    source.settle(
        [Settlement(delivery.tag, messages=(Message("p.verified", b"next", "application/json", {"id": "i1"}),))]
    )
    assert bodies(place.redis, "p.callbacks") == []
    assert bodies(place.redis, "p.verified") == [b"next"]


def test_a_settlement_writes_to_the_ledgers_redis(place: Place) -> None:
    publish(place, envelope("i1"))
    source = place.source()
    (delivery,) = receive(source)
    stored = StoredMessage("i1", "verify", "error", "", 7.0, message=envelope("i1"))
    source.settle([Settlement(delivery.tag, writes=put_commands("p", "dead", stored))])
    assert list(MessageSet(place.ledger, "p", "dead")) == [stored]
    assert bodies(place.redis, "p.callbacks") == []


def test_a_result_is_published_once_for_its_mark(place: Place) -> None:
    publish(place, envelope("i1"), envelope("i2"))
    source = place.source()
    first, second = receive(source, 2)
    decision = Message("p.decisions", b"decision", "application/json", {})
    source.settle([Settlement(first.tag, results=(decision,), once=ONCE)])
    assert place.decisions() == [b"decision"]
    assert place.ledger.hget(CASE, "published") == b"id"
    repeated = () if place.results else (decision,)  # with another broker the stage checks the mark
    source.settle([Settlement(second.tag, results=repeated, once=ONCE)])
    assert place.decisions() == [b"decision"]
    assert bodies(place.redis, "p.callbacks") == []


def test_settling_again_has_no_second_effect_on_the_queues(place: Place) -> None:
    publish(place, envelope("i1"))
    source = place.source()
    (delivery,) = receive(source)
    settlement = Settlement(delivery.tag, messages=(Message("p.verified", b"next", "application/json", {}),))
    for _ in range(3):
        source.settle([settlement])
    assert bodies(place.redis, "p.verified") == [b"next"]


def test_a_message_that_was_taken_over_is_moved_by_its_new_worker_only(place: Place) -> None:
    publish(place, envelope("i1"))
    slow, quick = place.source(), place.source()
    (late,) = receive(slow)
    expire_leases(place.redis, "p.callbacks")
    (taken,) = receive(quick)
    assert (taken.body, taken.delivery_count) == (late.body, 1)
    slow.settle([Settlement(late.tag, messages=(Message("p.verified", b"slow", "application/json", {}),))])
    assert bodies(place.redis, "p.verified") == []
    quick.settle([Settlement(taken.tag, messages=(Message("p.verified", b"quick", "application/json", {}),))])
    assert bodies(place.redis, "p.verified") == [b"quick"]


def test_renewing_keeps_a_message_from_being_taken_over(place: Place) -> None:
    publish(place, envelope("i1"))
    slow, other = place.source(), place.source()
    (delivery,) = receive(slow)
    expire_leases(place.redis, "p.callbacks")
    slow.renew()
    publish(place, envelope("i2"))
    (new,) = receive(other)  # it has looked for expired leases first
    assert (new.headers["id"], new.delivery_count) == ("i2", 0)
    slow.settle([Settlement(delivery.tag)])
    other.settle([Settlement(new.tag)])
    assert bodies(place.redis, "p.callbacks") == []


def test_closing_returns_messages_in_work_and_their_deliveries_do_not_count(place: Place) -> None:
    publish(place, envelope("i1"))
    first = place.source()
    receive(first)
    first.close()
    (delivery,) = receive(place.source())
    assert delivery.delivery_count == 0


def test_a_message_that_is_given_back_comes_again_and_its_delivery_counts(place: Place) -> None:
    publish(place, envelope("i1"))
    source = place.source()
    for count in range(3):
        (delivery,) = receive(source)
        assert delivery.delivery_count == count
        source.give_back([delivery.tag])


def test_the_oldest_message_counts_until_it_is_settled_whichever_queue_it_is_in(place: Place) -> None:
    source, queues = place.source(), ["p.callbacks", "p.verified", "p.reconciled"]
    assert source.oldest(queues) is None
    place.redis.xadd("p.reconciled", {"body": "younger"}, id="2000000-0")
    place.redis.xadd("p.verified", {"body": "older"}, id="1000500-0")
    assert source.oldest(queues) == 1000.5
    (delivery,) = receive(source)
    assert source.oldest(queues) == 1000.5
    source.settle([Settlement(delivery.tag)])
    assert source.oldest(queues) == 2000.0


def test_items_move_from_a_message_set_to_their_queue_and_alerts_to_the_results(place: Place) -> None:
    message_set, source = MessageSet(place.ledger, "p", "delayed"), place.source()
    for name in ("i1", "i2"):
        for command in put_commands(
            "p", "delayed", StoredMessage(name, "verify", "why", "", 1.0, message=envelope(name))
        ):
            place.ledger.execute_command(*command)
    source.release(message_set, [("i1", envelope("i1"))], results=False)
    source.release(message_set, [("i2", Message("p.decisions", b"alert", "application/json", {}))], results=True)
    assert bodies(place.redis, "p.callbacks") == [b"data=1&sign=2"]
    assert place.decisions() == [b"alert"]
    assert len(message_set) == 0


# Ledger or results on another server


def test_a_decision_whose_lease_was_lost_is_marked_by_the_worker_that_publishes_it(any_redis_url: str) -> None:
    """Results on the queues' Redis, the ledger elsewhere: a mark without its message would lose the decision."""
    place = Place(any_redis_url, apart=True)
    place.results = None
    publish(place, envelope("i1"))
    slow, quick = place.source(), place.source()
    (late,) = receive(slow)
    expire_leases(place.redis, "p.callbacks")
    (taken,) = receive(quick)
    decision = Message("p.decisions", b"decision", "application/json", {})
    slow.settle([Settlement(late.tag, results=(decision,), once=ONCE)])
    assert place.decisions() == []
    assert place.ledger.hget(CASE, "published") is None
    quick.settle([Settlement(taken.tag, results=(decision,), once=ONCE)])
    assert place.decisions() == [b"decision"]
    assert place.ledger.hget(CASE, "published") == b"id"
    place.close()


def test_while_the_results_broker_is_away_nothing_is_settled(any_redis_url: str) -> None:
    place = Place(any_redis_url, apart=True)
    assert place.results is not None
    publish(place, envelope("i1"))
    source = place.source()
    (delivery,) = receive(source)
    settlement = Settlement(delivery.tag, results=(Message("p.decisions", b"d", "application/json", {}),), once=ONCE)
    place.results.away = True
    with pytest.raises(BrokerUnavailable, match="not stored: OperationalError"):
        source.settle([settlement])
    assert place.ledger.hget(CASE, "published") is None
    assert len(bodies(place.redis, "p.callbacks")) == 1
    place.results.away = False
    source.settle([settlement])
    assert (place.decisions(), bodies(place.redis, "p.callbacks")) == ([b"d"], [])
    assert place.ledger.hget(CASE, "published") == b"id"
    place.close()


@pytest.mark.parametrize(
    "call",
    [
        lambda source: source.receive(0.01),
        lambda source: source.renew(),
        lambda source: source.settle([Settlement("t", writes=(("SET", "a", "b"),))]),
    ],
    ids=["receive", "renew", "settle"],
)
def test_a_redis_that_refuses_connections_raises_broker_unavailable(call: Callable[[StreamsSource], object]) -> None:
    source = StreamsSource("redis://127.0.0.1:1/0", QUEUES, 10, LEASE, None, None, "p")
    with pytest.raises(BrokerUnavailable) as down:
        call(source)
    assert isinstance(down.value.__cause__, RedisConnectionError | OSError)
    source.close()
