"""A worker's source: the same on every engine, wherever the ledger and the results are."""

import json
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from kombu.connection import Connection
from redis.exceptions import ConnectionError as RedisConnectionError

from deploy.local.rabbit_server import RabbitServer
from shared.ledger.message_set import put_commands
from shared.messaging.delivery import POISON_DELIVERIES, Delivery
from shared.messaging.engine import engine_of
from shared.messaging.envelope import Envelope
from shared.messaging.errors import BrokerUnavailable, Undecodable
from shared.messaging.message import Message
from shared.messaging.stored_message import StoredMessage
from shared.messaging.topology import INNER_QUEUES, RESULT_QUEUES, queue_name
from shared.streams import Channel
from tests.support.places import PREFIX, Place, receive, settle_all
from tests.support.redis_clients import open_redis
from tests.support.stream_clients import expire_leases
from tests.support.waiting import until
from workers.runtime.settlement import Settlement, Settler
from workers.runtime.source import Source
from workers.sources import rabbitmq as rabbit_source

pytestmark = pytest.mark.server
CASE = f"{PREFIX}:case:{{default}}:1,a"
ONCE = (CASE, "published", "id")
DECISION = Message(f"{PREFIX}.decisions", b"decision", "application/json", {"ce-id": "id"}, "decision.default.approved")
NEXT = Message(f"{PREFIX}.reconciled", b"next", "application/json", {"id": "i1"})


@pytest.fixture(scope="module")
def vhosts(rabbit_server: RabbitServer, _vhosts: Iterator[int]) -> tuple[str, str]:
    """Two virtual hosts for the tests of this file, which empty them."""
    return rabbit_server.url(next(_vhosts)), rabbit_server.url(next(_vhosts))


def emptied(url: str) -> str:
    """Delete our queues and the exchange in a virtual host; returns its URL."""
    with Connection(url) as connection:
        channel = connection.channel()
        for queue in (*INNER_QUEUES, *RESULT_QUEUES):
            channel.queue_delete(queue_name(PREFIX, queue))
        channel.exchange_delete(PREFIX)
    return url


@pytest.fixture(params=["redis/redis", "redis/redis apart", "redis/amqp", "amqp/amqp", "amqp/redis", "amqp/amqp apart"])
def place(request: pytest.FixtureRequest, redis_url: str) -> Iterator[Place]:
    """The engines of queues and results; `apart` has the results on another server."""
    queues, _, results = request.param.removesuffix(" apart").partition("/")
    one = {"redis": redis_url, "amqp": ""}
    other = {"redis": f"{redis_url.removesuffix('/0')}/1", "amqp": ""}
    if "amqp" in request.param:
        one["amqp"], other["amqp"] = map(emptied, request.getfixturevalue("vhosts"))
    place = Place(redis_url, one[queues], (other if "apart" in request.param else one)[results])
    yield place
    place.close()


def envelope(name: str, body: bytes = b"data=1&sign=2", content_type: str = "text/form", query: str = "") -> Message:
    return Envelope(name, "default", "notify", "POST", 5.5, body, content_type, query).to_message(f"{PREFIX}.callbacks")


def name_of(delivery: Delivery) -> str:
    return str(delivery.headers["id"])


@pytest.mark.parametrize(
    ("content_type", "query"),
    [("text/form", ""), ("multipart/form-data; boundary=" + "x" * 300, ""), ("text/form", "a=" + "é" * 150_000)],
    ids=["usual", "long type", "long query"],
)
def test_a_message_is_delivered_as_it_was_published(content_type: str, query: str, place: Place) -> None:
    place.publish(envelope("i1", bytes(range(256)), content_type, query))
    (delivery,) = receive(place.source())
    assert (delivery.queue, delivery.delivery_count, delivery.fault) == ("callbacks", 0, "")
    read = Envelope.read(delivery.headers, delivery.content_type, delivery.body)
    assert read == Envelope("i1", "default", "notify", "POST", 5.5, bytes(range(256)), content_type, query)


def test_an_empty_body_is_delivered_empty(place: Place) -> None:
    place.publish(envelope("i1", b""))
    assert [delivery.body for delivery in receive(place.source())] == [b""]


def test_a_settlement_moves_a_message_on(place: Place) -> None:
    place.publish(envelope("i1"))
    source = place.source()
    (delivery,) = receive(source)
    source.settle([Settlement(delivery.tag, messages=(NEXT,))])
    source.close()
    assert (place.take("faceid.callbacks"), place.take("faceid.reconciled")) == ([], [b"next"])


def test_a_settlement_writes_to_the_ledgers_redis(place: Place) -> None:
    place.publish(envelope("i1"))
    source = place.source()
    (delivery,) = receive(source)
    stored = StoredMessage("i1", "verify", "error", "", 7.0, message=envelope("i1"))
    source.settle([Settlement(delivery.tag, writes=put_commands(PREFIX, "dead", stored))])
    source.close()
    assert list(place.message_set("dead")) == [stored]
    assert place.take("faceid.callbacks") == []


def test_a_result_is_published_and_marked_in_the_ledger(place: Place) -> None:
    place.publish(envelope("i1"))
    source = place.source()
    (delivery,) = receive(source)
    source.settle([Settlement(delivery.tag, results=(DECISION,), once=ONCE)])
    assert place.results() == [b"decision"]
    assert place.ledger.hget(CASE, "published") == b"id"


def test_settling_again_has_no_second_effect_on_the_queues(place: Place) -> None:
    place.publish(envelope("i1"))
    source = place.source()
    (delivery,) = receive(source)
    for _ in range(3):
        source.settle([Settlement(delivery.tag, messages=(NEXT,))])
    assert place.take("faceid.reconciled") == [b"next"]


def test_a_settlement_that_failed_after_publishing_is_not_published_again(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.publish(envelope("i1"), envelope("i2"))
    source = place.source()
    first, second = receive(source, 2)
    settlements = [Settlement(first.tag, results=(DECISION,), once=ONCE), Settlement(second.tag, messages=(NEXT,))]
    with monkeypatch.context() as patch:
        fail_midway(patch)
        for _ in range(2):
            with pytest.raises(BrokerUnavailable, match="ConnectionError"):
                source.settle(settlements)
    source.settle(settlements)
    source.close()
    assert (place.results(), place.take("faceid.reconciled")) == ([b"decision"], [b"next"])
    assert (place.ledger.hget(CASE, "published"), place.take("faceid.callbacks")) == (b"id", [])


def fail_midway(patch: pytest.MonkeyPatch) -> None:
    """The ledger's Redis goes away between the publication and the acknowledgement."""

    def fail(*_: Any) -> None:
        raise RedisConnectionError

    patch.setattr(rabbit_source, "mark", fail)
    patch.setattr(Channel, "move", fail)


def test_closing_returns_messages_in_work(place: Place) -> None:
    place.publish(envelope("i1"), envelope("i2"))
    first = place.source()
    receive(first, 2)
    first.close()
    again: list[Delivery] = []
    second = place.source()

    def both() -> bool:
        """Redelivered messages may come one by one."""
        batch = second.receive(0.05)
        settle_all(second, batch)
        again.extend(batch)
        return len(again) >= 2

    until(both)
    assert sorted(map(name_of, again)) == ["i1", "i2"]
    assert all(delivery.delivery_count <= 1 for delivery in again), "RabbitMQ's counts include this delivery"


def test_messages_in_work_at_many_orderly_stops_are_no_poison(place: Place) -> None:
    place.publish(envelope("i1"), envelope("i2"))
    for _ in range(POISON_DELIVERIES + 1):
        source = place.source()
        until(partial(source.receive, 0.05))
        source.close()
    last = place.source()
    again: list[Delivery] = []

    def both() -> bool:
        batch = last.receive(0.05)
        settle_all(last, batch)
        again.extend(batch)
        return len(again) >= 2

    until(both)
    assert all(delivery.delivery_count <= 1 for delivery in again)


def test_no_more_are_in_work_than_the_prefetch_allows(place: Place) -> None:
    place.publish(*(envelope(f"i{number}") for number in range(10)))
    place.publish(*(Message("faceid.verified", b"{}", "application/json", {"id": "v"}) for _ in range(10)))
    source, came = place.source(prefetch=3), 0
    while came < 20:
        batch = [delivery for _ in range(4) for delivery in source.receive(0.02)]
        assert len(batch) <= 3
        came += len(batch)
        settle_all(source, batch)


def test_items_move_from_a_message_set_to_their_queue_and_alerts_to_the_results(place: Place) -> None:
    message_set, source = place.message_set("delayed"), place.source()
    for name in ("i1", "i2"):
        for command in put_commands(
            PREFIX, "delayed", StoredMessage(name, "verify", "why", "", 1.0, message=envelope(name))
        ):
            place.ledger.execute_command(*command)
    source.release(message_set, [("i1", envelope("i1"))], results=False)
    source.release(message_set, [("i2", DECISION)], results=True)
    assert (place.take("faceid.callbacks"), place.results()) == ([b"data=1&sign=2"], [b"decision"])
    assert len(message_set) == 0


def test_a_message_that_is_no_envelope_becomes_a_dead_letter_with_its_body(place: Place) -> None:
    place.publish(Message("faceid.callbacks", b"\xff\x00", "text/odd", {"shoe": "size"}), envelope("i1"))
    source, settler = place.source(), Settler(PREFIX, 8, lambda: 7.0)
    for delivery in receive(source, 2):
        try:
            Envelope.read(delivery.headers, delivery.content_type, delivery.body)
        except Undecodable as fault:
            source.settle([settler.undecodable(delivery, str(fault))])
        else:
            settle_all(source, [delivery])
    source.close()
    (dead,) = place.message_set("dead")
    assert dead.message == Message("faceid.callbacks", b"\xff\x00", "text/odd", {"shoe": "size"})
    assert (dead.reason, place.take("faceid.callbacks")) == ("undecodable", [])


def test_oldest_returns_when_the_oldest_message_was_published(place: Place) -> None:
    source = place.source()
    assert source.receive(0.05) == []
    assert source.oldest(["faceid.callbacks", "faceid.verified"]) is None
    before = place.ledger.time()[0]
    place.publish(envelope("i1"))
    (delivery,) = receive(source)
    since = source.oldest(["faceid.callbacks", "faceid.verified"])
    assert since is not None
    assert before <= since <= before + 20
    settle_all(source, [delivery])
    assert source.oldest(["faceid.callbacks", "faceid.verified"]) is None


# A message that kills whoever works on it


def test_a_message_that_kills_workers_is_recognised_at_its_sixth_delivery(place: Place) -> None:
    """Every worker settles the messages that it receives, until it receives the one that kills it."""
    names = [f"i{number}" for number in range(99)]
    place.publish(*map(envelope, names[:50]), envelope("killer"), *map(envelope, names[50:]))
    settled: dict[str, int] = {}
    deaths = 0
    while deaths <= POISON_DELIVERIES and len(settled) < 100:
        source = place.source()
        if live(source, settled):
            deaths += 1
            die(source, place)
    assert deaths == POISON_DELIVERIES
    assert settled.pop("killer") == POISON_DELIVERIES
    assert max(settled.values()) < POISON_DELIVERIES
    assert settled.keys() == set(names)


def live(source: Source, settled: dict[str, int]) -> bool:
    """Work until everything is settled, or the killer comes and is not recognised: then returns True."""
    while len(settled) < 100:
        for delivery in source.receive(0.05):
            if name_of(delivery) == "killer" and delivery.delivery_count < POISON_DELIVERIES:
                return True
            settled[name_of(delivery)] = delivery.delivery_count
            settle_all(source, [delivery])
    return False


def die(source: Source, place: Place) -> None:
    """Make a worker look killed: its leases expire, or its connection breaks."""
    if engine_of(place.urls["broker_url"]) == "streams":
        with open_redis(place.urls["broker_url"]) as redis:
            expire_leases(redis, "faceid.callbacks")
    if isinstance(source, rabbit_source.RabbitSource):
        link = source._consumer._link
        assert link is not None
        link.drop()


def test_delivered_headers_can_be_written_as_json(place: Place) -> None:
    place.publish(Message("faceid.callbacks", b"", "", {"a": 1, "b": 2.5, "c": "é"}))
    (delivery,) = receive(place.source())
    assert json.loads(json.dumps(dict(delivery.headers))) == {"a": 1, "b": 2.5, "c": "é"}


@pytest.mark.parametrize(
    "call",
    [
        lambda source: source.receive(0.01),
        lambda source: source.renew(),
        lambda source: source.settle([Settlement("a/1/1", writes=(("SET", "a", "b"),))]),
    ],
    ids=["receive", "renew", "settle"],
)
@pytest.mark.parametrize("url", ["redis://127.0.0.1:1/0", "amqp://127.0.0.1:1/v"])
def test_a_broker_that_refuses_connections_raises_broker_unavailable(
    url: str, call: Callable[[Source], object], redis_url: str
) -> None:
    place = Place(redis_url, url, url)
    with pytest.raises(BrokerUnavailable):
        call(place.source())
    place.close()
