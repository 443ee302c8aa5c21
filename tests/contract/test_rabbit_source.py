"""A worker on RabbitMQ: lost connections, heartbeats, foreign messages, a broker that dies or hangs."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from time import sleep
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
from tests.support.heartbeats import bytes_sent, skip_heartbeats
from tests.support.places import PREFIX, Place, bodies, receive, settle_all
from tests.support.proxies import Proxy
from tests.support.redis_clients import unreachable_redis
from tests.support.servers import wait_stopped
from tests.support.waiting import until
from workers.runtime.settlement import Settlement
from workers.runtime.source import Source
from workers.sources.rabbitmq import AFTER_RECONNECT

pytestmark = pytest.mark.server
NEXT = Message(f"{PREFIX}.reconciled", b"next", "application/json", {"id": "i1"})
CALLBACKS = f"{PREFIX}.callbacks"


@pytest.fixture
def proxy(rabbit_server: RabbitServer) -> Iterator[Proxy]:
    with Proxy(rabbit_server.port) as proxy:
        yield proxy


@pytest.fixture
def place(rabbit_url: str, redis_url: str) -> Iterator[Place]:
    place = Place(redis_url, rabbit_url, rabbit_url)
    yield place
    place.close()


@pytest.fixture
def killable_place(killable_url: str, redis_url: str) -> Iterator[Place]:
    place = Place(redis_url, killable_url, killable_url)
    yield place
    place.close()


@pytest.fixture
def cut_off(place: Place, proxy: Proxy, rabbit_server: RabbitServer) -> Iterator[Place]:
    """The same place behind a proxy."""
    url = place.urls["broker_url"].replace(str(rabbit_server.port), str(proxy.port))
    behind = Place(place.urls["redis_url"], url, url)
    yield behind
    behind.close()


def envelope(name: str, body: bytes = b"data=1&sign=2") -> Message:
    return Envelope(name, "default", "notify", "POST", 5.5, body, "text/form").to_message(CALLBACKS)


def persistently(source: Source, settlements: list[Settlement]) -> int:
    """Settle, and repeat that as the pump does when it fails. Returns how often it failed."""
    failures = 0

    def settled() -> bool:
        nonlocal failures
        try:
            source.settle(settlements)
        except BrokerUnavailable:
            failures += 1
            return False
        return True

    until(settled, what="a settlement")
    return failures


def meanwhile(source: Source, action: Callable[[], None]) -> None:
    """Run a slow action, and renew meanwhile as the pump does."""
    thread = threading.Thread(target=action)
    thread.start()

    def ended() -> bool:
        source.renew()
        return not thread.is_alive()

    until(ended)


def received(source: Source, count: int) -> list[Delivery]:
    """Receive `count` messages, and repeat that when it fails."""
    found: list[Delivery] = []

    def enough() -> bool:
        with suppress(BrokerUnavailable):
            found.extend(source.receive(0.05))
        return len(found) >= count

    until(enough, what=f"{count} messages")
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
    """The message is in work when the connection breaks, and settled after that: it is delivered again."""
    place.publish(envelope("i1"))
    source = cut_off.source()
    for _ in range(POISON_DELIVERIES + 2):
        (delivery,) = received(source, 1)
        assert delivery.delivery_count <= 1
        proxy.cut()
        persistently(source, [Settlement(delivery.tag)])


@pytest.mark.parametrize("moment", range(6))
def test_a_connection_cut_at_any_moment_loses_nothing(moment: int, cut_off: Place, place: Place, proxy: Proxy) -> None:
    """The reply to the n-th exchange is lost."""
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
    place.publish(envelope("i1"))
    hung: Any = place.source(lease_seconds=3.0)
    receive(hung)
    assert 3 * hung._consumer._link._amqp.heartbeat <= 3.0, "RabbitMQ waits for three heartbeats at most"
    (delivery,) = receive(place.source())
    assert delivery.delivery_count == 1


def test_a_busy_worker_keeps_its_messages_as_long_as_it_renews(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each renewal sends a heartbeat when one is due; RabbitMQ takes messages from a worker that sends none."""
    place.publish(envelope("i1"))
    busy: Any = place.source()
    (delivery,) = receive(busy)
    link = busy._consumer._link
    skip_heartbeats(monkeypatch, link, 0.6)
    sent = bytes_sent(link)
    busy.renew()
    assert bytes_sent(link) == sent + 1
    busy.settle([Settlement(delivery.tag)])
    busy.close()
    assert place.take(CALLBACKS) == []


def test_a_separate_results_broker_keeps_its_connection(place: Place, redis_url: str) -> None:
    """Queues are on Redis and results on RabbitMQ: `receive` keeps both connections."""
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
    until(lambda: _waiting_again(source) == 40, what="every message again")
    sizes: list[int] = []
    while sum(sizes) < 40:
        batch = _receive_some(source)
        sizes.append(len(batch))
        source.settle([Settlement(delivery.tag) for delivery in batch])
    assert sizes == [AFTER_RECONNECT, AFTER_RECONNECT, 40 - 2 * AFTER_RECONNECT]


def _waiting_again(source: Any) -> int:
    """Redelivered messages that have come over the new connection."""
    with suppress(BrokerUnavailable):
        source._consumer.drain(0.05)
    return len(source._consumer.again)


def _receive_some(source: Source) -> list[Delivery]:
    batch: list[Delivery] = []

    def some() -> bool:
        batch.extend(source.receive(0.05))
        return bool(batch)

    until(some)
    return batch


def _fails(source: Source) -> bool:
    try:
        source.receive(0.01)
    except BrokerUnavailable:
        return True
    return False


# The broker itself


def test_a_hanging_broker_is_reported_and_used_again_after_it_recovers(
    killable_place: Place, killable_rabbit: RabbitServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = killable_place
    place.publish(envelope("i1"))
    source: Any = place.source()
    (delivery,) = receive(source)
    killable_rabbit.pause()
    wait_stopped(killable_rabbit.pid)
    try:
        with monkeypatch.context() as patch:
            skip_heartbeats(patch, source._consumer._link, 2.1)
            assert _fails(source), "two heartbeats of the broker are missing"
        with pytest.raises(BrokerUnavailable):
            source.settle([Settlement(delivery.tag, messages=(NEXT,))])
    finally:
        killable_rabbit.resume()
    persistently(source, [Settlement(delivery.tag, messages=(NEXT,))])
    (again,) = received(source, 1)
    persistently(source, [Settlement(again.tag, messages=(NEXT,))])
    source.close()
    assert place.take("faceid.reconciled") == [b"next"]


def test_a_memory_alarm_blocks_publishing_but_not_acknowledging(
    killable_place: Place, killable_rabbit: RabbitServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = killable_place
    place.publish(envelope("i1"), envelope("i2"))
    source: Any = place.source()
    moving, ending = receive(source, 2)
    meanwhile(source, partial(killable_rabbit.full, full=True))
    try:
        with pytest.raises(BrokerUnavailable, match="blocked"):
            source.settle([Settlement(moving.tag, messages=(NEXT,))])
        with monkeypatch.context() as patch:
            skip_heartbeats(patch, source._consumer._link, 0.6)
            sent = bytes_sent(source._consumer._link)
            source.renew()
            assert bytes_sent(source._consumer._link) > sent, "heartbeats go on"
        source.settle([Settlement(ending.tag)])
    finally:
        meanwhile(source, partial(killable_rabbit.full, full=False))
    persistently(source, [Settlement(moving.tag, messages=(NEXT,))])
    source.close()
    assert set(place.take("faceid.reconciled")) == {b"next"}  # the one sent before the alarm was known may be there too
    assert place.take(CALLBACKS) == []


def test_a_kill_of_the_broker_under_load_loses_nothing(killable_place: Place, killable_rabbit: RabbitServer) -> None:
    """Messages are published and moved all the while. Every confirmed message is moved in the end."""
    place = killable_place
    stored, moved = set[bytes](), set[bytes]()
    loaded, finished = threading.Event(), threading.Event()
    worker = threading.Thread(target=_move_all, args=(place.source(prefetch=50), moved, finished))
    loader = threading.Thread(target=_load, args=(place.urls["broker_url"], stored, loaded))
    worker.start()
    loader.start()
    try:
        _grow(moved, 100)
        killable_rabbit.kill()
        killable_rabbit.start()
        _grow(moved, 50)
        loaded.set()
        loader.join()
        until(lambda: stored <= moved, what="every confirmed message to be moved")
    finally:
        loaded.set()
        finished.set()
        loader.join()
        worker.join()
    found = bodies(place.urls["broker_url"], "faceid.reconciled")
    print(f"{len(stored)} stored, {len(found)} moved, {len(found) - len(set(found))} of them twice")
    assert stored <= set(found)


def _grow(some: set[bytes], by: int) -> None:
    enough = len(some) + by
    until(lambda: len(some) >= enough, what=f"{enough} messages")


def _load(url: str, stored: set[bytes], loaded: threading.Event) -> None:
    publisher, number = open_publisher(url, 5.0), 0
    while not loaded.is_set():
        number += 10
        batch = [envelope(f"i{number + place}", b"%d" % (number + place)) for place in range(10)]
        try:
            publisher.publish(batch)
        except NotStored:
            sleep(0.05)
        else:
            stored.update(message.body for message in batch)
    publisher.close()


def _move_all(source: Source, moved: set[bytes], finished: threading.Event) -> None:
    """Move every message, as the pump does."""
    while not finished.is_set():
        try:
            batch = source.receive(0.05)
        except BrokerUnavailable:
            sleep(0.05)
            continue
        if batch:
            messages = [Message("faceid.reconciled", delivery.body, "", {}) for delivery in batch]
            persistently(
                source, [Settlement(d.tag, messages=(message,)) for d, message in zip(batch, messages, strict=True)]
            )
            moved.update(delivery.body for delivery in batch)
    source.close()
