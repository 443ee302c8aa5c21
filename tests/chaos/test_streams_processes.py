"""The Streams transport loses no message and moves none twice when a process is killed, stopped or forked."""

import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from time import sleep

import pytest

from tests.support.redis_clients import open_redis
from tests.support.stream_clients import assert_all_moved_once, connect, move_messages, publish, reader
from tests.support.waiting import LIMIT, until

pytestmark = pytest.mark.server

LEASE = 1.0


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
