"""A worker's messages over Redis Streams."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Final

from pydantic_core import from_json
from redis import Redis
from redis.exceptions import RedisError

from shared.brokers.factory import open_connection, open_publisher
from shared.brokers.kombu_publisher import open_channel
from shared.brokers.redis_streams_publisher import addition
from shared.ledger.message_set import Command, MessageSet
from shared.messaging.errors import BrokerUnavailable
from shared.messaging.message import Message
from shared.messaging.publisher import NotStored, Publisher
from shared.streams import Channel, Move
from shared.streams import Delivery as Entry
from workers.runtime.delivery import Delivery
from workers.runtime.settlement import Settlement
from workers.sources.cross_server_writes import SettlementPublisher, mark, release, write

OUR_FIELDS: Final = frozenset({b"body", b"content_type", b"content_encoding", b"headers"})
KOMBU_HEADERS: Final = frozenset({"compression", "x-delivery-count", "x-undecodable"})
"""Headers that mean something to kombu or to the transport."""
INNER_TIMEOUT: Final = 5.0
MAX_BATCH: Final = 200
"""Messages read at once: enough to pay for the round trip, few enough that other workers get their share."""


class StreamsSource:
    """The inner queues on Redis Streams.

    Whatever lives on the same Redis as the queues is written by the fenced move itself: then an item is in exactly
    one place at any time. `results` and `ledger` are given where they live elsewhere, and are written before the move.
    """

    def __init__(
        self,
        url: str,
        queues: Mapping[str, str],
        prefetch: int,
        lease: float,
        results: Publisher | None,
        ledger: "Redis | None",
    ) -> None:
        """`queues`: full names and the short ones of the topology; `lease` in seconds."""
        self._connection = open_connection(
            url, lease_seconds=lease, batch_size=min(prefetch, MAX_BATCH), consumer="worker"
        )
        self._errors = (*self._connection.connection_errors, *self._connection.channel_errors, RedisError, NotStored)
        self._queues = queues
        self._names = list(queues)
        self._prefetch = prefetch
        self._results = None if results is None else SettlementPublisher(results, lambda settlement: settlement.results)
        self._ledger = ledger
        self._inner = open_publisher(url, INNER_TIMEOUT)
        self._opened: Channel | None = None

    def receive(self, wait: float) -> Sequence[Delivery]:
        """A batch of messages, waited for at most `wait` seconds."""
        with self._reporting():
            channel = self._channel()
            self._keep()
            return [_read(entry, self._queues[entry.queue], channel) for entry in channel.receive(self._names, wait)]

    def settle(self, settlements: Sequence[Settlement]) -> None:
        """Move the messages on."""
        with self._reporting():
            self._write_cross_server(settlements)
            moved = self._channel().move([self._move(settlement) for settlement in settlements])
            out = [settlement for settlement, ours in zip(settlements, moved, strict=True) if ours or self._results]
            self._mark_cross_server(out)

    def renew(self) -> None:
        """Keep the leases."""
        with self._reporting():
            self._keep()
            self._channel().renew()

    def release(self, message_set: MessageSet, leaving: Sequence[tuple[str, Message]], *, results: bool) -> None:
        """Take items off a message set and publish a message for each, in one step where both are on one Redis."""
        with self._reporting():
            apart = self._results.publisher if results and self._results is not None else None
            if apart is None and self._ledger is not None:
                apart = self._inner
            if apart is not None:
                release(message_set, leaving, apart)
            else:
                message_set.take([(item, (addition(message),)) for item, message in leaving])

    def oldest(self, queues: Sequence[str]) -> float | None:
        """When the oldest message was put there: one in work counts as waiting until it is settled."""
        with self._reporting():
            times = [self._channel().oldest(queue) for queue in queues]
        return min((time for time in times if time is not None), default=None)

    def close(self) -> None:
        """Hand back what is in work."""
        with suppress(*self._errors):
            self._connection.close()
        self._inner.close()
        if self._results is not None:
            self._results.publisher.close()

    def _channel(self) -> Channel:
        if self._opened is None:
            channel: Channel = open_channel(self._connection)
            channel.qos.prefetch_count = self._prefetch
            self._opened = channel
        return self._opened

    def _keep(self) -> None:
        if self._results is not None:
            self._results.publisher.keep()

    def _write_cross_server(self, settlements: Sequence[Settlement]) -> None:
        """What is not on the queues' Redis goes first; a repeat finds it there, or bears the same id."""
        if self._ledger is not None:
            write(self._ledger, settlements)
        if self._results is not None:
            self._results.publish(settlements)

    def _mark_cross_server(self, out: Sequence[Settlement]) -> None:
        if self._ledger is not None:
            mark(self._ledger, out)
        if self._results is not None:
            self._results.forget(out)

    def _move(self, settlement: Settlement) -> Move:
        """What the fenced script does for one message."""
        messages = settlement.messages if self._results is not None else (*settlement.messages, *settlement.results)
        commands: list[Command] = [addition(message) for message in messages]
        if self._ledger is None:
            commands += settlement.writes
        return Move(settlement.tag, tuple(commands), settlement.once if self._ledger is None else None)

    @contextmanager
    def _reporting(self) -> Iterator[None]:
        try:
            yield
        except self._errors as error:
            raise BrokerUnavailable(type(error).__name__) from error


def _read(entry: Entry, queue: str, channel: Channel) -> Delivery:
    """What our own publishers write is read here; what else may stand in a stream is left to the transport."""
    fields = dict(zip(entry.fields[::2], entry.fields[1::2], strict=True))
    try:
        headers = from_json(fields[b"headers"])
        body, content_type = fields[b"body"], fields.get(b"content_type", b"").decode()
    except (KeyError, ValueError):
        return _read_odd(entry, queue, channel)
    if not fields.keys() <= OUR_FIELDS or not isinstance(headers, dict) or not headers.keys().isdisjoint(KOMBU_HEADERS):
        return _read_odd(entry, queue, channel)
    return Delivery(entry.tag, queue, headers, content_type, body, entry.delivery_count)


def _read_odd(entry: Entry, queue: str, channel: Channel) -> Delivery:
    message = channel.message(entry)
    fault = "" if message.undecodable is None else str(message.undecodable)
    fields = tuple(message.fields.items()) if fault else ()
    body = message.body if isinstance(message.body, bytes) else message.body.encode()
    return Delivery(
        entry.tag, queue, message.headers, message.content_type or "", body, entry.delivery_count, fault, fields
    )
