"""Whatever is killed, cut, stopped or full: the Streams transport loses no message and moves none twice."""

import os
import random
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from time import monotonic, sleep
from typing import Any

import pytest
from kombu.exceptions import BatchPublishError
from redis import Redis
from redis.exceptions import OutOfMemoryError, ReadOnlyError, RedisError

from shared.streams import Move
from tests.support.proxies import Proxy
from tests.support.servers import RedisServer
from tests.support.stream_clients import Reader, connect, publish, reader

pytestmark = pytest.mark.server

LEASE = 1.0


def wait_for(reached: Callable[[], bool], seconds: float = 30) -> None:
    deadline = monotonic() + seconds
    while not reached():
        assert monotonic() < deadline, "waited in vain"
        sleep(0.01)


def assert_all_moved_once(redis: Redis, count: int, what: str) -> None:
    """Each number below `count` stands in `out` exactly once; says how many are lost and doubled."""
    rows: Any = redis.xrange("out")
    seen = Counter(int(fields[b"body"]) for _, fields in rows)
    lost = sum(1 for number in range(count) if number not in seen)
    doubled = sum(times - 1 for times in seen.values())
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


def test_killed_workers_lose_and_double_nothing(redis_url: str) -> None:
    count, kills, dice = 6_000, 3, random.Random(7)
    with connect(redis_url) as connection, Redis.from_url(redis_url) as redis, workers(redis_url, 2) as running:
        for kill in range(kills):
            publish(connection, "q", *range(kill * count // kills, (kill + 1) * count // kills))
            moved = redis.xlen("out")
            wait_for(lambda moved=moved: redis.xlen("out") > moved)  # type: ignore[misc]  # mypy can't see the default
            sleep(dice.random() * 0.05)
            running[0].kill()
            running[0].wait()
            running.append(start_worker(redis_url))
            running.pop(0)
        wait_for(lambda: redis.xlen("q") == 0)
        assert_all_moved_once(redis, count, f"{kills} kill -9 of a worker")


def move_all(consumer: Reader, done: Callable[[], bool], recovered: Sequence[type[Exception]] = ()) -> int:
    """Move what comes from `q` to `out`, trying again after a connection error; returns how often that was needed."""
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
def meanwhile(act: Callable[[], object], seconds: float) -> Iterator[None]:
    """Act over and over, at random times, up to so many seconds apart."""
    ended, dice = threading.Event(), random.Random(7)

    def act_often() -> None:
        while not ended.wait(dice.random() * seconds):
            act()

    thread = threading.Thread(target=act_often)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def test_cut_connections_and_lost_replies_lose_and_double_nothing(redis_server: RedisServer, redis_url: str) -> None:
    count = 2_500
    with (
        Proxy(redis_server.port) as proxy,
        connect(redis_url) as connection,
        redis_server.client() as redis,
        reader(f"redis://127.0.0.1:{proxy.port}/0", "q", prefetch=50, lease_seconds=LEASE) as consumer,
    ):
        publish(connection, "q", *range(count))
        with meanwhile(proxy.cut, 0.2), meanwhile(proxy.cut_next_reply, 0.2):
            errors = move_all(consumer, lambda: redis.xlen("q") == 0)
        assert errors > 5
        assert_all_moved_once(redis, count, f"{errors} connections cut")
    assert consumer.channel.qos.held() == []


def test_connections_killed_by_the_server_lose_and_double_nothing(redis_server: RedisServer, redis_url: str) -> None:
    count = 3_000
    with (
        redis_server.client() as redis,
        redis_server.client() as killer,
        connect(redis_url) as connection,
        reader(redis_url, "q", prefetch=20, lease_seconds=LEASE) as consumer,
    ):
        publish(connection, "q", *range(count))
        with meanwhile(lambda: killer.client_kill_filter(_type="normal", skipme=True), 0.04):
            errors = move_all(consumer, lambda: redis.xlen("q") == 0)
        assert_all_moved_once(redis, count, f"CLIENT KILL, {errors} errors seen")


def test_a_killed_server_loses_and_doubles_nothing(private_server: RedisServer) -> None:
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


def test_a_silent_server_is_given_up_in_time_and_found_again(private_server: RedisServer) -> None:
    with (
        connect(private_server.url, socket_timeout=0.4) as connection,
        reader(private_server.url, "q", socket_timeout=0.4) as consumer,
    ):
        publish(connection, "q", 1)
        consumer.receive(1)
        private_server.pause()
        started = monotonic()
        with pytest.raises(consumer.connection.connection_errors):
            consumer.drain(5)
        assert monotonic() - started < 2
        private_server.resume()
        consumer.messages.clear()
        publish(connection, "q", 2)
        assert consumer.drain_until(lambda: 2 in consumer.bodies)


def test_a_stopped_worker_past_its_lease_moves_nothing(redis_url: str) -> None:
    script = """
import sys
from shared.streams import Move
from tests.support.stream_clients import connect, Reader
with connect(sys.argv[1], lease_seconds=0.5) as connection:
    reader = Reader(connection, "q")
    reader.receive(50)
    print("holding", flush=True)
    sys.stdin.readline()
    print(sum(reader.channel.move([Move(tag, (reader.channel.entry_command("out", "stale"),)) for tag in reader.tags])))
"""
    with connect(redis_url) as connection, Redis.from_url(redis_url) as redis:
        publish(connection, "q", *range(50))
        worker = subprocess.Popen(
            [sys.executable, "-c", script, redis_url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert worker.stdout is not None
        assert worker.stdout.readline() == "holding\n"
        os.kill(worker.pid, 19)
        with reader(redis_url, "q", lease_seconds=0.5) as consumer:
            consumer.receive(50)
            move_messages(consumer)
        os.kill(worker.pid, 18)
        said, _ = worker.communicate("go\n", timeout=10)
        assert said == "0\n"
        assert_all_moved_once(redis, 50, "SIGSTOP past the lease")


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
    subprocess.run([sys.executable, "-c", script, redis_url], check=True, timeout=20)
    with Redis.from_url(redis_url) as redis:
        assert redis.xlen("q") == 0
        assert redis.xinfo_consumers("q", "kombu") == []


def test_a_full_server_refuses_publications_and_is_drained_all_the_same(private_server: RedisServer) -> None:
    count = 2000
    with (
        private_server.client() as redis,
        connect(private_server.url) as connection,
        reader(private_server.url, "q", prefetch=300, lease_seconds=LEASE) as consumer,
        reader(private_server.url, "q", prefetch=100, lease_seconds=LEASE) as silent,
    ):
        publish(connection, "q", *[f"{n:0500}" for n in range(count)])
        silent.receive(100)
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
        assert silent.channel.move([Move(tag) for tag in silent.tags]) == [False] * 100


def test_a_failover_behind_one_address_is_followed(private_server: RedisServer, redis_server: RedisServer) -> None:
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
        assert primary.wait(1, 10_000) == 1
        replica.replicaof("NO", "ONE")
        primary.replicaof("127.0.0.1", redis_server.port)
        proxy.upstream = redis_server.port
        assert isinstance(caught_while_publishing(connection), ReadOnlyError)
        with pytest.raises(ReadOnlyError):
            consumer.connection.drain_events(timeout=1)
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
