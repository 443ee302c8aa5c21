"""What only a worker on RabbitMQ meets: lost connections, heartbeats, odd messages, a broker that dies or hangs."""

import json
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from time import monotonic, sleep
from typing import Any

import amqp
import pytest
from kombu.connection import Connection

from deploy.local.rabbit_server import RabbitServer
from shared.brokers.factory import open_publisher
from shared.messaging.delivery import POISON_DELIVERIES, Delivery
from shared.messaging.envelope import Envelope
from shared.messaging.errors import BrokerUnavailable
from shared.messaging.message import Message
from shared.messaging.publisher import NotStored
from tests.support.places import PREFIX, Place, bodies, emptied, receive, settle_all
from tests.support.proxies import Proxy
from tests.support.redis_clients import unreachable_redis
from tests.support.waiting import until
from workers.runtime.settlement import Settlement
from workers.runtime.source import Source

pytestmark = pytest.mark.server
NEXT = Message(f"{PREFIX}.reconciled", b"next", "application/json", {"id": "i1"})
CALLBACKS = f"{PREFIX}.callbacks"


@pytest.fixture
def server(module_rabbit: RabbitServer) -> RabbitServer:
    return module_rabbit


@pytest.fixture
def proxy(server: RabbitServer) -> Iterator[Proxy]:
    with Proxy(server.port) as proxy:
        yield proxy


@pytest.fixture
def place(server: RabbitServer, redis_url: str) -> Iterator[Place]:
    url = emptied(server.url())
    place = Place(redis_url, url, url)
    yield place
    place.close()


@pytest.fixture
def cut_off(place: Place, proxy: Proxy, server: RabbitServer) -> Iterator[Place]:
    """The same place behind a connection that may be cut."""
    url = server.url().replace(str(server.port), str(proxy.port))
    behind = Place(place.urls["redis_url"], url, url)
    yield behind
    behind.close()


def envelope(name: str, body: bytes = b"data=1&sign=2") -> Message:
    return Envelope(name, "default", "notify", "POST", 5.5, body, "text/form").to_message(CALLBACKS)


def persistently(source: Source, settlements: list[Settlement]) -> int:
    """Settle, again and again as the pump does; how often it failed."""
    failures, end = 0, monotonic() + 60
    while True:
        try:
            source.settle(settlements)
        except BrokerUnavailable:
            assert monotonic() < end, "never settled"
            failures += 1
            sleep(0.05)
        else:
            return failures


def meanwhile(source: Source, action: Callable[[], None]) -> None:
    """Do what takes its time, and keep what the source holds, as the pump does."""
    thread = threading.Thread(target=action)
    thread.start()
    while thread.is_alive():
        source.renew()
        sleep(0.05)


def received(source: Source, count: int) -> list[Delivery]:
    """So many, whatever fails meanwhile."""
    found: list[Delivery] = []

    def enough() -> bool:
        try:
            found.extend(source.receive(0.05))
        except BrokerUnavailable:
            sleep(0.05)
        return len(found) >= count

    until(enough)
    return found


# Connections that are lost


def test_a_message_not_moved_before_the_connection_broke_is_delivered_again(
    cut_off: Place, place: Place, proxy: Proxy
) -> None:
    place.publish(envelope("i1"))
    source = cut_off.source()
    (delivery,) = receive(source)
    proxy.cut()
    persistently(source, [Settlement(delivery.tag, messages=(NEXT,))])
    assert place.take("faceid.reconciled") == []
    (again,) = received(source, 1)
    assert (again.body, again.tag == delivery.tag) == (delivery.body, False)
    persistently(source, [Settlement(again.tag, messages=(NEXT,))])
    source.close()
    assert (place.take("faceid.reconciled"), place.take(CALLBACKS)) == ([b"next"], [])


def test_a_settlement_published_before_the_connection_broke_is_not_published_again(
    cut_off: Place, place: Place, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.publish(envelope("i1"))
    source = cut_off.source()
    (delivery,) = receive(source)
    settlement = Settlement(delivery.tag, messages=(NEXT,), once=("case", "published", "id"))
    with monkeypatch.context() as patch:
        patch.setattr(source, "_ledger", unreachable_redis())
        with pytest.raises(BrokerUnavailable, match="ConnectionError"):
            source.settle([settlement])
    proxy.cut()
    assert persistently(source, [settlement]) > 0
    assert place.ledger.hget("case", "published") == b"id"
    assert place.take("faceid.reconciled") == [b"next"]


def test_lost_connections_do_not_add_up_to_poison(cut_off: Place, place: Place, proxy: Proxy) -> None:
    """In work when it broke and settled after it: the message comes again, and counts from the beginning."""
    place.publish(envelope("i1"))
    source = cut_off.source()
    for _ in range(POISON_DELIVERIES + 2):
        (delivery,) = received(source, 1)
        assert delivery.delivery_count <= 1
        proxy.cut()
        persistently(source, [Settlement(delivery.tag)])


@pytest.mark.parametrize("moment", range(6))
def test_a_connection_cut_at_any_moment_loses_nothing(moment: int, cut_off: Place, place: Place, proxy: Proxy) -> None:
    """The answer to the n-th exchange from now is lost, whichever that is."""
    names = [f"i{number}" for number in range(30)]
    place.publish(*map(envelope, names))
    source, exchanges, moved = cut_off.source(prefetch=7), 0, set[str]()
    while len(moved) < len(names):
        batch = received(source, 1)
        exchanges += 1
        if exchanges == moment:
            proxy.cut_next_reply()
        messages = [Message("faceid.reconciled", str(d.headers["id"]).encode(), "text/plain", {}) for d in batch]
        persistently(
            source, [Settlement(d.tag, messages=(message,)) for d, message in zip(batch, messages, strict=True)]
        )
        moved |= {str(delivery.headers["id"]) for delivery in batch}
    found: list[bytes] = []

    def all_found() -> bool:
        found.extend(place.take("faceid.reconciled"))
        return {*found} == {name.encode() for name in names}

    until(all_found)
    print(f"{len(found) - len(names)} twice")


# Heartbeats


def test_messages_of_a_hanging_worker_are_delivered_to_another_worker(place: Place) -> None:
    lease = 4.0
    place.publish(envelope("i1"))
    hung = place.source(lease_seconds=lease)
    receive(hung)
    began = monotonic()
    (delivery,) = receive(place.source(lease_seconds=lease))  # waits for ten seconds
    assert monotonic() - began < lease
    assert delivery.delivery_count == 1


def test_a_busy_worker_keeps_its_messages_as_long_as_it_renews(place: Place) -> None:
    lease = 3.0
    place.publish(envelope("i1"))
    busy, idle = place.source(lease_seconds=lease), place.source(lease_seconds=lease)
    (delivery,) = receive(busy)
    end = monotonic() + 1.5 * lease
    while monotonic() < end:
        busy.renew()
        assert idle.receive(0.2) == []
    busy.settle([Settlement(delivery.tag)])
    busy.close()
    assert place.take(CALLBACKS) == []


def test_a_separate_results_broker_keeps_its_connection(place: Place, redis_url: str) -> None:
    """Queues on Redis, results on RabbitMQ: the pump's receiving keeps both."""
    mixed = Place(redis_url, redis_url, place.urls["broker_url"])
    source = mixed.source()
    mixed.publish(envelope("i1"), envelope("i2"))
    first, second = receive(source, 2)
    decision = Message("faceid.decisions", b"d", "application/json", {}, "decision.default.approved")
    source.settle([Settlement(first.tag, results=(decision,))])
    source.receive(0.05)
    source.settle([Settlement(second.tag, results=(decision,))])
    assert mixed.results() == [b"d", b"d"]
    mixed.close()


# Odd messages


def test_a_message_with_unreadable_properties_is_delivered_without_them(place: Place) -> None:
    place.publish(envelope("before"))
    with Connection(place.urls["broker_url"]) as connection:
        channel: Any = connection.channel()
        for odd in ({"content_type": b"\xff\xfe"}, {"application_headers": {"id": "i"}, "message_id": b"\xff"}):
            channel.basic_publish(amqp.Message(b"odd \xff", **odd), routing_key=CALLBACKS)
    place.publish(envelope("after"))
    source = place.source()
    deliveries = receive(source, 4)
    assert [delivery.headers.get("id", "") for delivery in deliveries] == ["before", "", "", "after"]
    assert [delivery.body for delivery in deliveries[1:3]] == [b"odd \xff"] * 2
    settle_all(source, deliveries)


def test_headers_that_are_not_text_or_numbers_are_left_out(place: Place) -> None:
    headers = {
        "a": "text",
        "b": 1,
        "c": {"d": 1},
        "e": [1],
        "f": datetime(2020, 1, 1, tzinfo=UTC),
        "g": b"\xff",
        "h": None,
    }
    with Connection(place.urls["broker_url"]) as connection:
        place.publish(envelope("i1"))  # which declares
        channel: Any = connection.channel()
        channel.basic_publish(channel.prepare_message(b"", headers=headers), routing_key=CALLBACKS)
    _, odd = receive(place.source(), 2)
    assert json.loads(json.dumps(dict(odd.headers))) == {"a": "text", "b": 1}


@pytest.mark.parametrize("body", [b"", b"{", b"[]\nx", b'{"headers": 1}\nx', b"[" * 100_000])
def test_a_foreign_message_of_our_wide_type_is_delivered_unchanged(body: bytes, place: Place) -> None:
    place.publish(envelope("i1"))
    with Connection(place.urls["broker_url"]) as connection:
        channel: Any = connection.channel()
        channel.basic_publish(channel.prepare_message(body, properties={"type": "wide"}), routing_key=CALLBACKS)
    _, odd = receive(place.source(), 2)
    assert (dict(odd.headers), odd.content_type, odd.body) == ({}, "", body)


# Those that come again


def test_while_redis_is_away_only_redelivered_messages_wait(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.publish(envelope("again"))
    first = place.source()
    receive(first)
    first.close()
    source: Any = place.source()
    with monkeypatch.context() as patch:
        patch.setattr(source._poison_guard, "_redis", unreachable_redis())
        place.publish(envelope("new"))
        (delivery,) = receive(source)
        assert delivery.headers["id"] == "new"
        assert source.receive(0.1) == []
    (delivery,) = receive(source)
    assert (delivery.headers["id"], delivery.delivery_count) == ("again", 1)


def test_after_a_reconnect_messages_are_redelivered_in_large_batches(
    cut_off: Place, place: Place, proxy: Proxy
) -> None:
    place.publish(*(envelope(f"i{number}") for number in range(40)))
    source = cut_off.source()
    receive(source, 40)
    proxy.cut()
    until(lambda: _fails(source))
    sizes: list[int] = []
    while sum(sizes) < 40:
        batch = received(source, 1)
        sizes.append(len(batch))
        persistently(source, [Settlement(delivery.tag) for delivery in batch])
    assert len(sizes) < 10


def _fails(source: Source) -> bool:
    try:
        source.receive(0.01)
    except BrokerUnavailable:
        return True
    return False


# The broker itself


def test_a_hanging_broker_is_reported_and_used_again_after_it_recovers(place: Place, server: RabbitServer) -> None:
    place.publish(envelope("i1"))
    source = place.source(lease_seconds=3.0)
    (delivery,) = receive(source)
    server.pause()
    try:
        until(lambda: _fails(source))
        began = monotonic()
        with pytest.raises(BrokerUnavailable):
            source.settle([Settlement(delivery.tag, messages=(NEXT,))])
        assert monotonic() - began < 3.0
    finally:
        server.resume()
    persistently(source, [Settlement(delivery.tag, messages=(NEXT,))])
    (again,) = received(source, 1)
    persistently(source, [Settlement(again.tag, messages=(NEXT,))])
    source.close()
    assert place.take("faceid.reconciled") == [b"next"]


def test_a_memory_alarm_blocks_publishing_but_not_acknowledging(place: Place, server: RabbitServer) -> None:
    place.publish(envelope("i1"), envelope("i2"))
    source = place.source(lease_seconds=3.0)
    moving, ending = receive(source, 2)
    meanwhile(source, partial(server.full, full=True))
    try:
        with pytest.raises(BrokerUnavailable, match="blocked"):
            source.settle([Settlement(moving.tag, messages=(NEXT,))])
        end = monotonic() + 4.0
        while monotonic() < end:  # longer than the broker waits for a sign of life
            source.renew()
            sleep(0.1)
        source.settle([Settlement(ending.tag)])
    finally:
        meanwhile(source, partial(server.full, full=False))
    persistently(source, [Settlement(moving.tag, messages=(NEXT,))])
    source.close()
    assert set(place.take("faceid.reconciled")) == {b"next"}  # the one sent before the alarm was known may be there too
    assert place.take(CALLBACKS) == []


@pytest.mark.timeout(240)
def test_kills_of_the_broker_under_load_lose_nothing(server: RabbitServer, redis_url: str) -> None:
    """Messages are published and moved on all the while; what was confirmed comes out at the other end.

    In a virtual host whose queues were never deleted: RabbitMQ 3.10 may not find one again that was deleted and
    declared anew shortly before it was killed.
    """
    place = Place(redis_url, server.url(1), server.url(1))
    stored, moved, done = set[bytes](), set[bytes](), threading.Event()
    worker = threading.Thread(target=_move_all, args=(place.source(prefetch=50), moved, done))
    loader = threading.Thread(target=_load, args=(place.urls["broker_url"], stored, done))
    worker.start()
    loader.start()
    try:
        for _ in range(2):
            _grow(moved, 100)
            server.kill()
            server.start()
        _grow(moved, 50)
    finally:
        done.set()
        loader.join()
    until(lambda: stored <= moved, 60)
    worker.join()
    found = bodies(place.urls["broker_url"], "faceid.reconciled")
    place.close()
    print(f"{len(stored)} stored, {len(found)} moved on, {len(found) - len(set(found))} of them twice")
    assert stored <= set(found)


def _grow(some: set[bytes], by: int) -> None:
    enough = len(some) + by
    until(lambda: len(some) >= enough, 60)


def _load(url: str, stored: set[bytes], done: threading.Event) -> None:
    publisher, number = open_publisher(url, 2.0), 0
    while not done.is_set():
        number += 10
        batch = [envelope(f"i{number + place}", b"%d" % (number + place)) for place in range(10)]
        try:
            publisher.publish(batch)
        except NotStored:
            sleep(0.05)
        else:
            stored.update(message.body for message in batch)
    publisher.close()


def _move_all(source: Source, moved: set[bytes], done: threading.Event) -> None:
    """A pump without the rest of the worker."""
    idle = 0
    while not done.is_set() or idle < 20:
        try:
            batch = source.receive(0.05)
        except BrokerUnavailable:
            sleep(0.05)
            continue
        idle = 0 if batch else idle + 1
        if batch:
            messages = [Message("faceid.reconciled", delivery.body, "", {}) for delivery in batch]
            persistently(
                source, [Settlement(d.tag, messages=(message,)) for d, message in zip(batch, messages, strict=True)]
            )
            moved.update(delivery.body for delivery in batch)
    source.close()
