"""The Streams transport loses no message and moves none twice, whatever fault is injected."""

import os
import random
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from time import sleep
from typing import Any

import pytest
from kombu.exceptions import BatchPublishError
from redis import Redis
from redis.exceptions import OutOfMemoryError, ReadOnlyError, RedisError

from shared.streams import Move
from tests.support.proxies import Proxy
from tests.support.redis_clients import open_redis
from tests.support.servers import RedisServer
from tests.support.stream_clients import Reader, connect, publish, reader
from tests.support.waiting import LIMIT, until

pytestmark = pytest.mark.server

LEASE = 1.0
SOCKET_TIMEOUT = 1.5
BATCH = 250
ERRORS = 10
"""Connection errors that a consumer must see before a test of broken connections ends."""


def assert_all_moved_once(redis: Redis, count: int, what: str) -> None:
    """Each number below `count` is in the stream `out` exactly once."""
    rows: Any = redis.xrange("out")
    vendor_sessions = Counter(int(fields[b"body"]) for _, fields in rows)
    lost = sum(1 for number in range(count) if number not in vendor_sessions)
    doubled = sum(times - 1 for times in vendor_sessions.values())
    print(f"{what}: {count} messages, {lost} lost, {doubled} doubled")
    assert (lost, doubled) == (0, 0)


@contextmanager
def workers(url: str, count: int) -> Iterator[list[subprocess.Popen[bytes]]]:
    running = [start_worker(url) for _ in range(count)]
    try:
        yield running
    finally:
        for process in running:
            process.kill()
            process.wait()


def start_worker(url: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-m", "tests.chaos.stream_worker", url, "q", "out", str(LEASE)])


def test_killed_workers_lose_and_double_no_message(redis_url: str) -> None:
    count, kills, dice = 3_000, 3, random.Random(7)
    with connect(redis_url) as connection, open_redis(redis_url) as redis, workers(redis_url, 2) as running:
        for kill in range(kills):
            publish(connection, "q", *range(kill * count // kills, (kill + 1) * count // kills))
            moved = redis.xlen("out")
            until(lambda moved=moved: redis.xlen("out") > moved)  # type: ignore[misc]  # mypy can't see the default
            sleep(dice.random() * 0.05)  # kill at a random moment, while messages are moved
            running[0].kill()
            running[0].wait()
            running.append(start_worker(redis_url))
            running.pop(0)
        until(lambda: redis.xlen("q") == 0, what="the queue is empty")
        assert_all_moved_once(redis, count, f"{kills} kill -9 of a worker")


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


def move_messages(consumer: Reader) -> None:
    addition = consumer.channel.entry_command
    consumer.channel.move(
        [Move(message.delivery_tag, (addition("out", message.body),)) for message in consumer.messages]
    )
    consumer.messages.clear()


@contextmanager
def repeatedly(inject: Callable[[], object], seconds: float) -> Iterator[threading.Lock]:
    """Call `inject` on another thread until the block ends, at random intervals of at most so many seconds.

    None is injected while the lock is held.
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


def move_despite(
    inject: Callable[[], object], seconds: float, consumer: Reader, url: str, redis: Redis, published: int = 0
) -> int:
    """Publish and move batch after batch, faults injected meanwhile, until the consumer has seen `ERRORS` of them.

    The bodies are numbers from `published` on. Returns the first number that is not published.
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
        count = move_despite(proxy.cut, 0.1, consumer, redis_url, redis)
        count = move_despite(proxy.cut_next_reply, 0.1, consumer, redis_url, redis, count)
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
        count = move_despite(kill, 0.04, consumer, redis_url, redis)
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


def test_a_worker_stopped_beyond_its_lease_moves_no_message(redis_url: str) -> None:
    script = """
import sys
from shared.streams import Move
from tests.support.stream_clients import connect, Reader
with connect(sys.argv[1], lease_seconds=0.5) as connection:
    reader = Reader(connection, "q")
    reader.receive(10)
    print("ready", flush=True)
    sys.stdin.readline()
    print(sum(reader.channel.move([Move(tag, (reader.channel.entry_command("out", "stale"),)) for tag in reader.tags])))
"""
    with connect(redis_url) as connection, open_redis(redis_url) as redis:
        publish(connection, "q", *range(10))
        worker = subprocess.Popen(
            [sys.executable, "-c", script, redis_url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert worker.stdout is not None
        assert worker.stdout.readline() == "ready\n"
        os.kill(worker.pid, signal.SIGSTOP)
        with reader(redis_url, "q", lease_seconds=0.5) as consumer:
            consumer.receive(10)
            move_messages(consumer)
        os.kill(worker.pid, signal.SIGCONT)
        output, _ = worker.communicate("go\n", timeout=LIMIT)
        assert output == "0\n"
        assert_all_moved_once(redis, 10, "SIGSTOP past the lease")


def test_a_forked_child_is_another_consumer(redis_url: str) -> None:
    script = """
import os, sys
from shared.streams import Move
from tests.support.stream_clients import connect, Reader, publish
with connect(sys.argv[1]) as connection:
    publish(connection, "q", 1, 2)
    reader = Reader(connection, "q", prefetch=2)
    reader.receive(2)
    name = reader.channel._reader.consumer.name
    pid = os.fork()
    if pid == 0:
        assert reader.channel._reader.consumer.name != name
        assert reader.channel.qos.prefetch_count == 2
        assert reader.channel.move([Move(tag) for tag in reader.tags]) == [False, False]
        reader.messages.clear()
        publish(connection, "q", 3)
        reader.receive(1)[0].ack()
        connection.release()
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    assert reader.channel._reader.consumer.name == name
    assert reader.channel.move([Move(tag) for tag in reader.tags]) == [True, True]
"""
    subprocess.run([sys.executable, "-c", script, redis_url], check=True, timeout=LIMIT)
    with open_redis(redis_url) as redis:
        assert redis.xlen("q") == 0
        assert redis.xinfo_consumers("q", "kombu") == []


def test_a_full_server_refuses_publishing_but_not_consuming(private_server: RedisServer) -> None:
    count = 400
    with (
        private_server.client() as redis,
        connect(private_server.url) as connection,
        reader(private_server.url, "q", prefetch=100, lease_seconds=LEASE) as consumer,
        reader(private_server.url, "q", prefetch=10, lease_seconds=LEASE) as silent,
    ):
        publish(connection, "q", *[f"{n:0500}" for n in range(count)])
        silent.receive(10)
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
        assert silent.channel.move([Move(tag) for tag in silent.tags]) == [False] * 10


def test_clients_reconnect_to_the_new_primary_after_a_failover_behind_one_address(
    private_server: RedisServer, redis_server: RedisServer
) -> None:
    """The demoted primary keeps its connections open and answers READONLY on them for ever."""
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
        assert isinstance(caught_while_publishing(connection), ReadOnlyError)
        with pytest.raises(ReadOnlyError):
            consumer.connection.drain_events(timeout=LIMIT)
        publish(connection, "q", 3)
        consumer.receive(3)
        assert consumer.bodies == [1, 2, 3]
        assert consumer.channel.move([Move(tag) for tag in consumer.tags]) == [False, True, True]
        assert replica.xlen("q") == 0


def caught_while_publishing(connection: Any) -> BaseException | None:
    try:
        publish(connection, "q", 3)
    except BatchPublishError as error:
        return error.__cause__
    except RedisError as error:
        return error
    return None
