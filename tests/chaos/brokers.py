"""The brokers of a run, reached directly and not through the proxies."""

import json
import time
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, Protocol, cast

from redis import Redis
from redis.backoff import ConstantBackoff
from redis.exceptions import RedisError, ResponseError
from redis.retry import Retry

from deploy.local.rabbit_server import RabbitServer
from deploy.local.redis_server import RedisServer
from shared.brokers.factory import open_connection
from shared.messaging.topology import DECISIONS, INNER_QUEUES, queue_name
from tests.support.waiting import until

PREFIX: Final = "faceid"
GROUP: Final = "faceid"
INNER: Final = tuple(queue_name(PREFIX, queue) for queue in INNER_QUEUES)
UNAVAILABLE: Final = (RedisError, OSError)
"""What a broker raises while a fault is injected into it."""
TIMEOUT: Final = 5.0


class Broker(Protocol):
    """A broker that faults are injected into. Its queries wait until it answers, or raise one of `UNAVAILABLE`."""

    def start(self) -> None:
        """Start it with the data that it has kept."""

    def kill(self) -> None:
        """SIGKILL."""

    def pause(self) -> None:
        """SIGSTOP."""

    def resume(self) -> None:
        """SIGCONT."""

    def stop(self) -> None:
        """Stop it at the end of the run."""

    def full(self, *, full: bool) -> None:
        """Let it refuse what needs memory, or accept it again."""

    def waiting(self) -> dict[str, int]:
        """How many messages each inner queue holds. Quick, so it may leave out those in work."""

    def left(self) -> dict[str, int]:
        """How many messages each inner queue holds, and how many are in work. Exact and slow."""

    def decided(self) -> int:
        """How many decisions are in the results queue."""

    def events(self, queue: str) -> Iterable[tuple[float, dict[str, Any]]]:
        """The events of a results queue, each with the unix seconds when it came. Call it once, at the end."""


class RedisBroker:
    """The queues on Redis."""

    def __init__(self, server: RedisServer) -> None:
        self._server = server
        self._replica: RedisServer | None = None

    def start(self) -> None:
        """Start the primary."""
        self._server.start()

    def kill(self) -> None:
        """SIGKILL the primary."""
        self._server.kill()

    def pause(self) -> None:
        """SIGSTOP the primary."""
        self._server.pause()

    def resume(self) -> None:
        """SIGCONT the primary."""
        self._server.resume()

    def stop(self) -> None:
        """Stop both servers."""
        self._server.stop()
        if self._replica is not None:
            self._replica.stop()

    def fail_over(self) -> int:
        """Make a replica the primary by Redis's FAILOVER, and return its port. The old one lives on as its replica."""
        if self._replica is None:
            self._replica = RedisServer(self._server.folder.with_name("replica"))
            self._replica.start()
        old, new = self._server, self._replica
        with _client(old) as primary, _client(new) as replica:
            primary.config_set("repl-diskless-sync-delay", 0)
            replica.replicaof("127.0.0.1", old.port)
            until(lambda: replica.info("replication").get("master_link_status") == "up", what="the replica")
            primary.execute_command("FAILOVER", "TO", "127.0.0.1", new.port)
            until(lambda: replica.info("replication")["role"] == "master", what="the failover")
        self._server, self._replica = new, old
        return new.port

    def client(self) -> "Redis":
        """A client that waits until a server that was killed has loaded its data again."""
        return _client(self._server)

    def full(self, *, full: bool) -> None:
        """Set `maxmemory`."""
        with self.client() as redis:
            redis.config_set("maxmemory", int(full))

    def waiting(self) -> dict[str, int]:
        """All at one moment."""
        with self.client() as redis, redis.pipeline(transaction=True) as pipe:
            for queue in INNER:
                pipe.xlen(queue)
            return dict(zip(INNER, pipe.execute(), strict=True))

    def left(self) -> dict[str, int]:
        """From the pending lists."""
        held = self.waiting()
        with self.client() as redis:
            return held | {f"{queue}, in work": _in_work(redis, queue) for queue in INNER}

    def decided(self) -> int:
        """The length of the stream."""
        with self.client() as redis:
            return int(redis.xlen(queue_name(PREFIX, DECISIONS)))

    def events(self, queue: str) -> Iterator[tuple[float, dict[str, Any]]]:
        """An entry's id says when it came."""
        with self.client() as redis:
            entries = cast("list[tuple[bytes, dict[bytes, bytes]]]", redis.xrange(queue_name(PREFIX, queue)))
        for entry_id, fields in entries:
            yield int(entry_id.partition(b"-")[0]) / 1000, json.loads(fields[b"body"])


class RabbitBroker:
    """The queues on RabbitMQ. It does not say when a message came, so the messages are counted often."""

    def __init__(self, server: RabbitServer) -> None:
        self._server = server
        self.start, self.kill, self.stop = server.start, server.kill, server.stop
        self.pause, self.resume, self.full = server.pause, server.resume, server.full
        self._counts: list[tuple[int, float]] = []

    def waiting(self) -> dict[str, int]:
        """Without those in work: AMQP does not say."""
        with self._channel() as channel:
            return {queue: _ready(channel, queue) for queue in INNER}

    def left(self) -> dict[str, int]:
        """By `rabbitmqctl`, which takes a second or two."""
        words = ("list_queues", "-p", "v0", "--no-table-headers", "name", "messages_ready", "messages_unacknowledged")
        rows = [line.split() for line in self._server.control(*words).splitlines()]
        held = {name: int(ready) for name, ready, _ in rows if name in INNER}
        return held | {f"{name}, in work": int(unacked) for name, _, unacked in rows if name in INNER}

    def decided(self) -> int:
        """Notes the count with the time."""
        with self._channel() as channel:
            count = _ready(channel, queue_name(PREFIX, DECISIONS))
        self._counts.append((count, time.time()))
        return count

    def events(self, queue: str) -> Iterator[tuple[float, dict[str, Any]]]:
        """Takes them off the queue in their order. Each came before the first count that includes it."""
        self.decided()
        with self._channel() as channel:
            taken = iter(lambda: channel.basic_get(queue_name(PREFIX, queue), no_ack=True), None)
            for place, message in enumerate(taken, 1):
                first = bisect_left(self._counts, (place, 0.0))
                yield self._counts[min(first, len(self._counts) - 1)][1], json.loads(message.body)

    @contextmanager
    def _channel(self) -> Iterator[Any]:
        options = {"connect_timeout": TIMEOUT, "read_timeout": TIMEOUT, "write_timeout": TIMEOUT}
        with open_connection(self._server.url(), **options) as connection:
            try:
                connection.ensure_connection(max_retries=0, reraise_as_library_errors=False)
                yield connection.default_channel
            except (*connection.connection_errors, *connection.channel_errors) as error:
                raise OSError(type(error).__name__) from error


def _client(server: RedisServer) -> "Redis":
    return Redis.from_url(server.url, socket_timeout=TIMEOUT, retry=Retry(ConstantBackoff(0.1), 200))


def _in_work(redis: "Redis", queue: str) -> int:
    try:
        return cast("int", cast("Mapping[str, Any]", redis.xpending(queue, GROUP))["pending"])
    except ResponseError:  # no such queue or group: nothing was ever read from it
        return 0


def _ready(channel: Any, queue: str) -> int:
    return int(channel.queue_declare(queue, passive=True).message_count)
