"""What carries the queues of a run, past the proxies, as its witness sees it."""

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

PREFIX: Final = "faceid"
GROUP: Final = "faceid"
INNER: Final = tuple(queue_name(PREFIX, queue) for queue in INNER_QUEUES)
AWAY: Final = (RedisError, OSError)
"""What a broker that is being struck raises."""
TIMEOUT: Final = 5.0


class Broker(Protocol):
    """A broker that can be struck. Its questions wait until it answers, or raise one of `AWAY`."""

    def start(self) -> None:
        """Start it with what it has kept."""

    def kill(self) -> None:
        """SIGKILL."""

    def pause(self) -> None:
        """SIGSTOP."""

    def resume(self) -> None:
        """SIGCONT."""

    def stop(self) -> None:
        """Stop it for good."""

    def full(self, *, full: bool) -> None:
        """Let it take nothing in, or take in again."""

    def waiting(self) -> dict[str, int]:
        """How many messages each inner queue holds, as far as can be asked often."""

    def left(self) -> dict[str, int]:
        """How many each holds and how many of it are in work: exactly, and once."""

    def decided(self) -> int:
        """How many decisions are in the results queue."""

    def events(self, queue: str) -> Iterable[tuple[float, dict[str, Any]]]:
        """What stands in a results queue: when each came, in unix seconds, and the event. To be asked at the end."""


class RedisBroker:
    """The queues on Redis."""

    def __init__(self, server: RedisServer) -> None:
        self._server = server
        self.start, self.kill, self.stop = server.start, server.kill, server.stop
        self.pause, self.resume = server.pause, server.resume

    def client(self) -> "Redis":
        """A client for ourselves, who wait until a server that was struck has loaded its data again."""
        return Redis.from_url(self._server.url, socket_timeout=TIMEOUT, retry=Retry(ConstantBackoff(0.1), 200))

    def full(self, *, full: bool) -> None:
        """By `maxmemory`."""
        with self.client() as redis:
            redis.config_set("maxmemory", int(full))

    def waiting(self) -> dict[str, int]:
        """Seen at one moment."""
        with self.client() as redis, redis.pipeline(transaction=True) as pipe:
            for queue in INNER:
                pipe.xlen(queue)
            return dict(zip(INNER, pipe.execute(), strict=True))

    def left(self) -> dict[str, int]:
        """With the pending lists."""
        held = self.waiting()
        with self.client() as redis:
            return held | {f"{queue}, in work": _in_work(redis, queue) for queue in INNER}

    def decided(self) -> int:
        """The stream's length."""
        with self.client() as redis:
            return int(redis.xlen(queue_name(PREFIX, DECISIONS)))

    def events(self, queue: str) -> Iterator[tuple[float, dict[str, Any]]]:
        """When each came is in its place in the stream."""
        with self.client() as redis:
            entries = cast("list[tuple[bytes, dict[bytes, bytes]]]", redis.xrange(queue_name(PREFIX, queue)))
        for place, fields in entries:
            yield int(place.partition(b"-")[0]) / 1000, json.loads(fields[b"body"])


class RabbitBroker:
    """The queues on RabbitMQ, which does not tell when a message came: it is counted often instead."""

    def __init__(self, server: RabbitServer) -> None:
        self._server = server
        self.start, self.kill, self.stop = server.start, server.kill, server.stop
        self.pause, self.resume, self.full = server.pause, server.resume, server.full
        self._counts: list[tuple[int, float]] = []

    def waiting(self) -> dict[str, int]:
        """Without those in work, of which AMQP does not tell."""
        with self._channel() as channel:
            return {queue: _ready(channel, queue) for queue in INNER}

    def left(self) -> dict[str, int]:
        """By `rabbitmqctl`, which takes a second or two."""
        words = ("list_queues", "-p", "v0", "--no-table-headers", "name", "messages_ready", "messages_unacknowledged")
        rows = [line.split() for line in self._server.control(*words).splitlines()]
        held = {name: int(ready) for name, ready, _ in rows if name in INNER}
        return held | {f"{name}, in work": int(unacked) for name, _, unacked in rows if name in INNER}

    def decided(self) -> int:
        """Noted with the time."""
        with self._channel() as channel:
            count = _ready(channel, queue_name(PREFIX, DECISIONS))
        self._counts.append((count, time.time()))
        return count

    def events(self, queue: str) -> Iterator[tuple[float, dict[str, Any]]]:
        """Takes them out, in the order in which they came; each came before the first count that has it."""
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


def _in_work(redis: "Redis", queue: str) -> int:
    try:
        return cast("int", cast("Mapping[str, Any]", redis.xpending(queue, GROUP))["pending"])
    except ResponseError:  # no such queue or group: nobody has ever read it
        return 0


def _ready(channel: Any, queue: str) -> int:
    return int(channel.queue_declare(queue, passive=True).message_count)
