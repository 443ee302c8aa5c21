"""Publishing to RabbitMQ: when a call returns, the broker has stored every message. Otherwise it raises `NotStored`."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import count, groupby
from time import monotonic, sleep
from typing import Any

import pytest
from kombu.connection import Connection

from deploy.local.rabbit_server import RabbitServer
from shared.brokers.factory import open_publisher
from shared.messaging.message import Message
from shared.messaging.publisher import NotStored, Publisher
from shared.rabbit import Link, RabbitPublisher, dialer
from tests.support.heartbeats import bytes_sent, skip_heartbeats
from tests.support.places import messages_of_rabbit, taken_from_rabbit
from tests.support.proxies import Proxy
from tests.support.servers import wait_stopped
from tests.support.waiting import until

pytestmark = pytest.mark.server
SECONDS = 1.0
"""The timeout of a call that is meant to time out."""
PATIENCE = 60.0
"""The timeout of a call that is meant to succeed."""
CALLBACKS = "faceid.callbacks"
DAY_MS = 86_400_000


@pytest.fixture
def url(rabbit_url: str) -> str:
    return rabbit_url


@pytest.fixture
def publisher(url: str) -> Iterator[Publisher]:
    with closing(open_publisher(url, PATIENCE)) as publisher:
        yield publisher


@pytest.fixture
def hasty(killable_url: str) -> Iterator[Publisher]:
    """A publisher to the killable RabbitMQ with a short timeout."""
    with closing(open_publisher(killable_url, SECONDS)) as publisher:
        yield publisher


def messages(*bodies: bytes) -> list[Message]:
    return [Message(CALLBACKS, body, "text/form", {"id": f"i{place}"}) for place, body in enumerate(bodies)]


def decision(body: bytes = b"{}", topic: str = "decision.default.approved") -> Message:
    return Message("faceid.decisions", body, "application/cloudevents+json", {"ce-id": "1"}, topic)


# What is stored, and how


def test_a_batch_is_stored_in_order_when_the_call_returns(publisher: Publisher, url: str) -> None:
    publisher.publish(messages(*(b"%d" % number for number in range(500))))
    publisher.publish(messages(bytes(range(256)), b"", b"x" * 400_000))
    expected = [*(b"%d" % number for number in range(500)), bytes(range(256)), b"", b"x" * 400_000]
    assert publisher.depths([CALLBACKS, "faceid.verified"]) == [503, 0]
    assert taken_from_rabbit(url, CALLBACKS) == expected


def test_publishing_no_messages_opens_no_connection() -> None:
    with closing(open_publisher("amqp://127.0.0.1:1/v", SECONDS)) as publisher:
        publisher.publish([])


def test_a_message_can_be_read_by_any_client(publisher: Publisher, url: str) -> None:
    publisher.publish(messages(b"data"))
    (message,) = messages_of_rabbit(url, CALLBACKS)
    assert message.properties["content_type"] == "text/form"
    assert message.properties["application_headers"] == {"id": "i0", "x-delivery-count": 0}  # the queue's own
    assert message.properties["delivery_mode"] == 2


def test_inner_queues_are_quorum_queues_without_a_delivery_limit(
    publisher: Publisher, url: str, rabbit_server: RabbitServer
) -> None:
    publisher.publish([*messages(b"x"), decision()])
    vhost = url.rpartition("/")[2]
    lines = rabbit_server.control("list_queues", "-p", vhost, "--formatter", "json", "name", "durable", "arguments")
    queues = {queue["name"]: queue for queue in json.loads(lines)}
    assert all(queue["durable"] for queue in queues.values())
    assert dict(map(_pair, queues[CALLBACKS]["arguments"])) == {"x-queue-type": "quorum", "x-delivery-limit": 2**31 - 1}
    assert dict(map(_pair, queues["faceid.decisions"]["arguments"])) == {"x-queue-type": "quorum"}


def _pair(argument: list[Any]) -> tuple[str, Any]:
    return argument[0], argument[-1]


def test_results_are_routed_by_topic_to_queues_that_others_bind(publisher: Publisher, url: str) -> None:
    publisher.memory()  # which connects, and so declares
    with Connection(url) as connection:
        channel = connection.channel()
        channel.queue_declare("faceid.decisions", durable=True, auto_delete=False, arguments={"x-queue-type": "quorum"})
        channel.queue_declare("rejections", exclusive=True)
        channel.queue_bind("rejections", "faceid", "decision.*.rejected")
        publisher.publish([decision(b"1"), decision(b"2", "decision.default.rejected"), decision(b"3", "alert.x.y")])
        assert channel.basic_get("rejections", no_ack=True).body == b"2"
    assert taken_from_rabbit(url, "faceid.decisions") == [b"1", b"2"]
    assert taken_from_rabbit(url, "faceid.alerts") == [b"3"]


@pytest.mark.parametrize(("days", "expiration"), [(30, 30 * DAY_MS), (49, 49 * DAY_MS), (60, 2**32 - 1)])
def test_results_carry_the_retention_as_expiration_up_to_the_protocols_limit(
    days: float, expiration: int, url: str
) -> None:
    with closing(open_publisher(url, PATIENCE, retention_days=days)) as publisher:
        publisher.publish([decision(), *messages(b"x")])
    assert [m.properties["expiration"] for m in messages_of_rabbit(url, "faceid.decisions")] == [str(expiration)]
    assert ["expiration" in m.properties for m in messages_of_rabbit(url, CALLBACKS)] == [False]


def test_a_publisher_of_dead_letters_has_every_message_expire(url: str) -> None:
    with closing(open_publisher(url, PATIENCE, retention_days=2, all_expire=True)) as publisher:
        publisher.publish(messages(b"x"))
    assert [m.properties["expiration"] for m in messages_of_rabbit(url, CALLBACKS)] == [str(2 * DAY_MS)]


def test_a_result_is_removed_when_it_expires(url: str) -> None:
    with closing(open_publisher(url, PATIENCE, retention_days=0.1 / 86_400)) as publisher:
        publisher.publish([decision()])
        until(lambda: publisher.depths(["faceid.decisions"]) == [0])


# What is not stored


@pytest.mark.parametrize(
    "call",
    [
        lambda publisher: publisher.publish(messages(b"x")),
        lambda publisher: publisher.depths([CALLBACKS]),
        lambda publisher: publisher.memory(),
    ],
    ids=["publish", "depth", "memory"],
)
def test_a_broker_that_refuses_connections_is_reported_at_once(call: Callable[[Publisher], object]) -> None:
    with closing(open_publisher("amqp://127.0.0.1:1/v", PATIENCE)) as publisher:
        began = monotonic()
        for _ in range(3):
            with pytest.raises(NotStored):
                call(publisher)
        assert monotonic() - began < PATIENCE / 2


@pytest.mark.parametrize("what", ["queue", "exchange"])
def test_a_deleted_queue_or_exchange_is_declared_again_by_the_next_call(
    what: str, publisher: Publisher, url: str
) -> None:
    publisher.publish([*messages(b"before"), decision(b"before")])
    with Connection(url) as connection:
        if what == "queue":
            connection.channel().queue_delete(CALLBACKS)
        else:
            connection.channel().exchange_delete("faceid")
    message = messages(b"after") if what == "queue" else [decision(b"after")]
    with pytest.raises(NotStored, match="unroutable" if what == "queue" else "NotFound"):
        publisher.publish(message)
    publisher.publish(message)
    assert taken_from_rabbit(url, CALLBACKS if what == "queue" else "faceid.decisions")[-1] == b"after"


def test_one_refused_message_fails_its_whole_batch(publisher: Publisher, url: str, rabbit_server: RabbitServer) -> None:
    vhost = url.rpartition("/")[2]
    publisher.publish(messages(b"first"))
    policy = json.dumps({"max-length": 1, "overflow": "reject-publish"})
    rabbit_server.control("set_policy", "-p", vhost, "short", "^faceid.callbacks$", policy, "--apply-to", "queues")
    until(lambda: _refused(publisher))
    rabbit_server.control("clear_policy", "-p", vhost, "short")
    until(lambda: not _refused(publisher))


def _refused(publisher: Publisher) -> bool:
    try:
        publisher.publish(messages(*[b"more"] * 20))
    except NotStored as error:
        return str(error) == "nack"
    return False


def test_a_queue_of_another_type_under_our_name_is_reported(url: str) -> None:
    with Connection(url) as connection, closing(open_publisher(url, PATIENCE)) as publisher:
        connection.channel().queue_declare(CALLBACKS, durable=True, auto_delete=False)
        with pytest.raises(NotStored, match="PreconditionFailed"):
            publisher.publish(messages(b"x"))
        connection.channel().queue_delete(CALLBACKS)


def test_the_next_broker_of_a_url_is_used_at_once_when_the_first_is_away(url: str) -> None:
    with closing(open_publisher(f"amqp://127.0.0.1:1/v;{url}", PATIENCE)) as publisher:
        publisher.publish(messages(b"y"))
    assert taken_from_rabbit(url, CALLBACKS) == [b"y"]


# The broker hangs, dies, is full


def test_calls_to_a_hanging_broker_time_out_and_work_again_after_it_recovers(
    hasty: Publisher, killable_url: str, killable_rabbit: RabbitServer
) -> None:
    until(lambda: _stored(hasty, b"before"))
    until(lambda: _answered(hasty))
    killable_rabbit.pause()
    wait_stopped(killable_rabbit.pid)
    try:
        for call in (lambda: hasty.publish(messages(b"hangs")), lambda: hasty.depths([CALLBACKS]), hasty.memory):
            with pytest.raises(NotStored):
                call()
    finally:
        killable_rabbit.resume()
    until(lambda: _stored(hasty, b"after"))
    assert {body for body in taken_from_rabbit(killable_url, CALLBACKS) if body != b"hangs"} == {b"before", b"after"}


def test_a_large_batch_to_a_hanging_broker_times_out(hasty: Publisher, killable_rabbit: RabbitServer) -> None:
    until(lambda: _stored(hasty, b"before"))
    killable_rabbit.pause()
    wait_stopped(killable_rabbit.pid)
    try:
        with pytest.raises(NotStored):
            hasty.publish(messages(*[b"x" * 100_000] * 500))
    finally:
        killable_rabbit.resume()
    until(lambda: _stored(hasty, b"after"))


def test_confirmed_messages_survive_a_kill_of_the_broker(killable_rabbit: RabbitServer, killable_url: str) -> None:
    """Batches are published while the node is killed and started again."""
    stored, numbers, done = set[bytes](), count(), threading.Event()
    publisher = open_publisher(killable_url, SECONDS)

    def load() -> None:
        while not done.is_set():
            batch = [b"%d" % next(numbers) for _ in range(20)]
            try:
                publisher.publish(messages(*batch))
            except NotStored:
                sleep(0.05)
            else:
                stored.update(batch)

    def more(batches: int) -> None:
        enough = len(stored) + 20 * batches
        until(lambda: len(stored) >= enough, what=f"{enough} confirmed messages")

    thread = threading.Thread(target=load)
    thread.start()
    try:
        more(10)
        killable_rabbit.kill()
        killable_rabbit.start()
        more(5)
    finally:
        done.set()
        thread.join()
        publisher.close()
    found = taken_from_rabbit(killable_url, CALLBACKS)
    print(f"{len(stored)} confirmed, {len(found)} found, {len(found) - len(set(found))} twice")
    assert stored <= set(found)


def test_a_memory_alarm_is_reported_at_once_and_publishing_works_after_it(
    killable_url: str, killable_rabbit: RabbitServer
) -> None:
    with closing(open_publisher(killable_url, PATIENCE)) as publisher:
        publisher.publish(messages(b"before"))
        assert publisher.memory().share == 0
        killable_rabbit.full(full=True)
        try:
            with pytest.raises(NotStored, match="blocked"):
                publisher.publish(messages(b"sent before the alarm was known"))
            began = monotonic()
            for _ in range(3):
                with pytest.raises(NotStored, match="blocked"):
                    publisher.publish(messages(b"refused"))
                assert publisher.memory().share == 1
                assert publisher.depths([CALLBACKS])[0] >= 1
            assert monotonic() - began < PATIENCE / 2
        finally:
            killable_rabbit.full(full=False)
        until(lambda: publisher.memory().share == 0)
        publisher.publish(messages(b"after"))
    found = taken_from_rabbit(killable_url, CALLBACKS)
    assert (found[0], found[-1]) == (b"before", b"after")
    assert b"refused" not in found


# Connections


def test_keep_sends_heartbeats(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    publisher = open_publisher(url, PATIENCE)
    assert isinstance(publisher, RabbitPublisher)
    with closing(publisher):
        publisher.publish(messages(b"x"))
        link = publisher._link
        skip_heartbeats(monkeypatch, link, 0.6)
        sent = bytes_sent(link)
        publisher.keep()
        assert (publisher._link is link, bytes_sent(link)) == (True, sent + 1)


def test_a_publisher_connects_again_when_its_connection_was_lost(url: str, rabbit_server: RabbitServer) -> None:
    with Proxy(rabbit_server.port) as proxy:
        publisher = open_publisher(url.replace(str(rabbit_server.port), str(proxy.port)), PATIENCE)
        with closing(publisher):
            publisher.publish(messages(b"before"))
            proxy.cut()
            until(lambda: _stored(publisher, b"after"))
    assert [body for body, _ in groupby(taken_from_rabbit(url, CALLBACKS))] == [b"before", b"after"]


def test_a_lost_link_stays_lost(url: str) -> None:
    link = Link(dialer(url, SECONDS, 10.0))
    link.drop()
    link.drop()
    with pytest.raises(Exception, match="AttributeError"):
        link.drain()
    link.close()


def _stored(publisher: Publisher, body: bytes) -> bool:
    try:
        publisher.publish(messages(body))
    except NotStored:
        return False
    return True


def _answered(publisher: Publisher) -> bool:
    try:
        return publisher.depths([CALLBACKS])[0] >= 0
    except NotStored:
        return False
