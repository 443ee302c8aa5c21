"""The Streams transport loses no message and moves none twice when connections or servers fail."""

import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from time import sleep
from typing import Any

import pytest
from kombu.exceptions import BatchPublishError
from redis import Redis
from redis.exceptions import OutOfMemoryError, RedisError

from shared.redis_servers.primary import NotPrimary
from shared.streams import Move
from tests.support.proxies import Proxy
from tests.support.servers import RedisServer
from tests.support.stream_clients import Reader, assert_all_moved_once, connect, move_messages, publish, reader
from tests.support.waiting import LIMIT

pytestmark = pytest.mark.server

LEASE = 1.0
SOCKET_TIMEOUT = 1.5
BATCH = 250
ERRORS = 10
"""Connection errors that a consumer must see before a test of broken connections ends."""


def move_all(consumer: Reader, done: Callable[[], bool]) -> int:
    """Move messages from `q` to `out` until `done()`. Returns how many connection errors were recovered from."""
    errors = 0
    while not done():
        try:
            consumer.connection.drain_events(timeout=0.2)
        except TimeoutError:
            pass
        except consumer.connection.connection_errors:
            errors += 1
            sleep(0.01)
        try:
            move_messages(consumer)
        except consumer.connection.connection_errors:
            errors += 1
    return errors


@contextmanager
def repeatedly(inject: Callable[[], object], seconds: float) -> Iterator[threading.Lock]:
    """Call `inject` on another thread until the block ends, at random intervals of at most so many seconds.

    While the caller holds the lock, nothing is injected.
    """
    lock, ended, dice = threading.Lock(), threading.Event(), random.Random(7)

    def run() -> None:
        while not ended.wait(dice.random() * seconds):
            with lock:
                inject()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield lock
    finally:
        ended.set()
        thread.join()


def move_during_faults(
    inject: Callable[[], object], seconds: float, consumer: Reader, url: str, redis: Redis, published: int = 0
) -> int:
    """Publish and move batches while faults are injected, until the consumer has seen `ERRORS` connection errors.

    The bodies are numbers from `published` on. Returns the first number that was not published.
    """
    errors = 0
    with repeatedly(inject, seconds) as lock:

        def is_empty() -> bool:
            with lock:  # else a fault may hit this client too
                return redis.xlen("q") == 0

        while errors < ERRORS:
            with lock, connect(url) as connection:
                publish(connection, "q", *range(published, published + BATCH))
            published += BATCH
            errors += move_all(consumer, is_empty)
    return published


def test_cut_connections_and_lost_replies_lose_and_double_no_message(redis_server: RedisServer, redis_url: str) -> None:
    with (
        Proxy(redis_server.port) as proxy,
        redis_server.client() as redis,
        reader(f"redis://127.0.0.1:{proxy.port}/0", "q", prefetch=50, lease_seconds=LEASE) as consumer,
    ):
        count = move_during_faults(proxy.cut, 0.1, consumer, redis_url, redis)
        count = move_during_faults(proxy.cut_next_reply, 0.1, consumer, redis_url, redis, count)
        assert_all_moved_once(redis, count, f"connections cut, {proxy.cuts} replies lost")
        assert proxy.cuts > 0
    assert consumer.channel.qos.held() == []


def test_connections_killed_by_the_server_lose_and_double_no_message(redis_server: RedisServer, redis_url: str) -> None:
    with (
        redis_server.client() as redis,
        redis_server.client() as killer,
        reader(redis_url, "q", prefetch=20, lease_seconds=LEASE) as consumer,
    ):
        kill = partial(killer.client_kill_filter, _type="normal", skipme=True)
        count = move_during_faults(kill, 0.04, consumer, redis_url, redis)
        assert_all_moved_once(redis, count, f"{ERRORS} connections killed")


def test_a_killed_server_loses_and_doubles_no_message(private_server: RedisServer) -> None:
    count, kills = 3_000, 3
    with (
        connect(private_server.url) as connection,
        reader(private_server.url, "q", prefetch=100, lease_seconds=LEASE) as consumer,
    ):
        for kill in range(kills):
            publish(connection, "q", *range(kill * count // kills, (kill + 1) * count // kills))
            consumer.receive(1)
            killer = threading.Thread(target=private_server.restart)
            killer.start()
            move_all(consumer, lambda killer=killer: not killer.is_alive())  # type: ignore[misc]  # as above
        with private_server.client() as redis:
            move_all(consumer, lambda: redis.xlen("q") == 0)
            assert_all_moved_once(redis, count, f"{kills} kill -9 of the server")


def test_a_hanging_server_causes_a_connection_error_and_consuming_continues_after_it(
    private_server: RedisServer,
) -> None:
    with (
        connect(private_server.url, socket_timeout=SOCKET_TIMEOUT) as connection,
        reader(private_server.url, "q", socket_timeout=SOCKET_TIMEOUT) as consumer,
    ):
        publish(connection, "q", 1)
        consumer.receive(1)
        private_server.pause()
        with pytest.raises(consumer.connection.connection_errors):
            consumer.drain(LIMIT)  # without the time-out this would end without an error
        private_server.resume()
        consumer.messages.clear()
        publish(connection, "q", 2)
        consumer.drain_until(lambda: 2 in consumer.bodies)


def test_a_full_server_refuses_publishing_but_not_consuming(private_server: RedisServer) -> None:
    count = 400
    with (
        private_server.client() as redis,
        connect(private_server.url) as connection,
        reader(private_server.url, "q", prefetch=100, lease_seconds=LEASE) as consumer,
        reader(private_server.url, "q", prefetch=10, lease_seconds=LEASE) as idle,
    ):
        publish(connection, "q", *[f"{n:0500}" for n in range(count)])
        idle.receive(10)
        private_server.config_set("maxmemory", redis.memory_usage("q") // 2)
        with pytest.raises(BatchPublishError) as refused:
            publish(connection, "q", "one more")
        assert isinstance(refused.value.__cause__, OutOfMemoryError)
        move_all(consumer, lambda: redis.xlen("out") >= count // 2)
        while redis.xlen("q"):
            for message in consumer.messages:
                message.ack()
            consumer.messages.clear()
            consumer.drain()
        assert idle.channel.move([Move(tag) for tag in idle.tags]) == [False] * 10


def test_clients_reconnect_to_the_new_primary_after_a_failover_behind_one_address(
    private_server: RedisServer, redis_server: RedisServer
) -> None:
    """The demoted primary keeps its connections open and answers READONLY to every write."""
    with (
        private_server.client() as primary,
        redis_server.client() as replica,
        Proxy(private_server.port) as proxy,
        connect(f"redis://127.0.0.1:{proxy.port}/0") as connection,
        reader(f"redis://127.0.0.1:{proxy.port}/0", "q", prefetch=2, lease_seconds=LEASE) as consumer,
    ):
        publish(connection, "q", 1, 2)
        replica.replicaof("127.0.0.1", private_server.port)
        consumer.receive(2)[0].ack()
        primary.set("last write", 1)
        assert primary.wait(1, int(LIMIT * 1000)) == 1
        replica.replicaof("NO", "ONE")
        primary.replicaof("127.0.0.1", redis_server.port)
        proxy.upstream = redis_server.port
        assert isinstance(error_while_publishing(connection), NotPrimary)
        with pytest.raises(NotPrimary):
            consumer.connection.drain_events(timeout=LIMIT)
        publish(connection, "q", 3)
        consumer.receive(3)
        assert consumer.bodies == [1, 2, 3]
        assert consumer.channel.move([Move(tag) for tag in consumer.tags]) == [False, True, True]
        assert replica.xlen("q") == 0


def error_while_publishing(connection: Any) -> BaseException | None:
    try:
        publish(connection, "q", 3)
    except BatchPublishError as error:
        return error.__cause__
    except RedisError as error:
        return error
    return None
