"""A worker's messages over Redis Streams."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Final

from pydantic_core import from_json
from redis import Redis
from redis.exceptions import RedisError

from shared.brokers.factory import open_connection, open_publisher
from shared.brokers.kombu_publisher import open_channel
from shared.brokers.redis_streams_publisher import addition
from shared.ledger.message_set import Command, MessageSet
from shared.messaging.delivery import DELIVERY_COUNT, Delivery
from shared.messaging.errors import BrokerUnavailable
from shared.messaging.message import Message
from shared.messaging.publisher import MessageRefused, NotStored, Publisher
from shared.redis_servers.refusals import refusal_code
from shared.streams import Channel, Move, MoveRefused
from shared.streams import Delivery as Entry
from workers.runtime.settlement import Settlement
from workers.sources.cross_server_writes import SettlementPublisher, mark, release, write
from workers.sources.refusals import Refusals

OUR_FIELDS: Final = frozenset({b"body", b"content_type", b"content_encoding", b"headers"})
KOMBU_HEADERS: Final = frozenset({"compression", DELIVERY_COUNT, "x-undecodable"})
"""Headers that kombu or the transport acts on."""
INNER_TIMEOUT: Final = 5.0
MAX_BATCH: Final = 200
"""Messages read at once: many for each round trip, but few enough that other workers get some."""


class StreamsSource:
    """The inner queues on Redis Streams.

    One script on the queues' Redis settles a message and writes what follows from it, if the worker still holds the
    message: so an item is in exactly one place at any time. A `results` broker or a `ledger` on another server is
    written to before that script runs.
    """

    def __init__(
        self,
        url: str,
        queues: Mapping[str, str],
        prefetch: int,
        lease: float,
        results: Publisher | None,
        ledger: "Redis | None",
        prefix: str,
    ) -> None:
        """`queues`: full names, and the short ones of the topology; `lease` in seconds.

        `results` and `ledger`: None where they are on the queues' Redis.
        """
        self._connection = open_connection(
            url, lease_seconds=lease, batch_size=min(prefetch, MAX_BATCH), consumer="worker", count_closed=False
        )
        self._errors = (*self._connection.connection_errors, *self._connection.channel_errors, RedisError)
        self._queues = queues
        self._names = list(queues)
        self._prefetch = prefetch
        self._results = None if results is None else SettlementPublisher(results, lambda settlement: settlement.results)
        self._ledger = ledger
        self._inner = open_publisher(url, INNER_TIMEOUT)
        self._opened: Channel | None = None
        self._refusals = Refusals(prefix, self._settle, self._held)

    def receive(self, wait: float) -> Sequence[Delivery]:
        """A batch of messages, waited for at most `wait` seconds."""
        with self._reporting():
            channel = self._channel()
            self._keep_results()
            self._refusals.retry()
            return [_read(entry, self._queues[entry.queue], channel) for entry in channel.receive(self._names, wait)]

    def settle(self, settlements: Sequence[Settlement]) -> None:
        """Settle these messages; one whose lease was lost is left alone, one that is refused becomes a dead letter."""
        with self._reporting(refusals=True):
            self._refusals.settle(settlements)

    def give_back(self, tags: Sequence[str]) -> None:
        """Hand these messages back. Their deliveries count."""
        with self._reporting():
            for tag in tags:
                self._channel().qos.reject(tag, requeue=True)
            self._channel().flush()

    def on_probation(self) -> bool:
        """Whether a message is in work that may have killed other workers."""
        return self._opened is not None and any(entry.on_probation for entry in self._opened.qos.held())

    def renew(self) -> None:
        """Renew the leases of the messages in work."""
        with self._reporting():
            self._keep_results()
            self._channel().renew()

    def release(
        self, message_set: MessageSet, leaving: Sequence[tuple[str, Message]], *, results: bool
    ) -> Collection[str]:
        """Take items off a message set and publish a message for each, in one step where both are on one Redis."""
        with self._reporting(refusals=True):
            if results and self._results is not None:
                return release(message_set, leaving, self._results.publisher)
            if self._ledger is not None:
                return release(message_set, leaving, self._inner)
            taken = message_set.take([(item, (addition(message),)) for item, message in leaving])
            return [item for (item, _), by_us in zip(leaving, taken, strict=True) if by_us]

    def oldest(self, queues: Sequence[str]) -> float | None:
        """When the oldest unsettled message was published, unix seconds."""
        with self._reporting(refusals=True):
            times = [self._channel().oldest(queue) for queue in queues]
        return min((time for time in times if time is not None), default=None)

    def close(self) -> None:
        """Hand back the messages in work, and close the connections."""
        with suppress(*self._errors):
            self._connection.close()
        self._inner.close()
        if self._results is not None:
            self._results.close()

    def _settle(self, settlements: Sequence[Settlement]) -> dict[str, str]:
        """Settle these. Returns the code of the error for the tag of each that is refused for good."""
        refused: dict[str, str] = {}
        if self._ledger is not None:
            refused |= write(self._ledger, settlements)
        if self._results is not None:
            refused |= self._results.publish([each for each in settlements if each.tag not in refused])
        left = [settlement for settlement in settlements if settlement.tag not in refused]
        moved = self._moved(left)
        for settlement, result in zip(left, moved, strict=True):
            if isinstance(result, str):
                refused[settlement.tag] = refusal_code(result)
        has_results_broker = self._results is not None
        self._note_published(
            [each for each, done in zip(left, moved, strict=True) if done is True or (has_results_broker and not done)]
        )
        if not all(refused.values()):
            raise BrokerUnavailable("RedisError")  # Redis can't run the command now
        return refused

    def _moved(self, settlements: Sequence[Settlement]) -> Sequence[bool | str]:
        try:
            return self._channel().move([self._move(settlement) for settlement in settlements])
        except MoveRefused as error:
            return error.results

    def _held(self, tag: str) -> Delivery | None:
        channel = self._channel()
        entry = channel.qos.find(tag)
        return None if entry is None else _read(entry, self._queues[entry.queue], channel)

    def _channel(self) -> Channel:
        if self._opened is None:
            channel: Channel = open_channel(self._connection)
            channel.qos.prefetch_count = self._prefetch
            self._opened = channel
        return self._opened

    def _keep_results(self) -> None:
        if self._results is not None:
            self._results.keep()

    def _note_published(self, settlements: Sequence[Settlement]) -> None:
        if self._ledger is not None:
            mark(self._ledger, settlements)
        if self._results is not None:
            self._results.forget(settlements)

    def _move(self, settlement: Settlement) -> Move:
        """What the script does for one message."""
        messages = settlement.messages if self._results is not None else (*settlement.messages, *settlement.results)
        commands: list[Command] = [addition(message) for message in messages]
        if self._ledger is None:
            commands += settlement.writes
        return Move(settlement.tag, tuple(commands), settlement.once if self._ledger is None else None)

    @contextmanager
    def _reporting(self, *, refusals: bool = False) -> Iterator[None]:
        """Raise `BrokerUnavailable`. `refusals`: but what a server refuses for good is raised as it is."""
        try:
            yield
        except (NotStored, *self._errors) as error:
            if refusals and (isinstance(error, MessageRefused) or refusal_code(error)):
                raise
            if isinstance(error, NotStored):
                raise BrokerUnavailable(f"not stored: {error}") from error
            raise BrokerUnavailable(type(error).__name__) from error


def _read(entry: Entry, queue: str, channel: Channel) -> Delivery:
    """Our own publishers' entries are decoded here, which is fast; kombu's transport decodes any other."""
    fields = dict(zip(entry.fields[::2], entry.fields[1::2], strict=True))
    try:
        headers = from_json(fields[b"headers"])
        body, content_type = fields[b"body"], fields.get(b"content_type", b"").decode()
    except (KeyError, ValueError):
        return _read_by_kombu(entry, queue, channel)
    if not fields.keys() <= OUR_FIELDS or not isinstance(headers, dict) or not headers.keys().isdisjoint(KOMBU_HEADERS):
        return _read_by_kombu(entry, queue, channel)
    return Delivery(entry.tag, queue, headers, content_type, body, entry.delivery_count)


def _read_by_kombu(entry: Entry, queue: str, channel: Channel) -> Delivery:
    message = channel.message(entry)
    fault = "" if message.undecodable is None else str(message.undecodable)
    fields = tuple(message.fields.items()) if fault else ()
    body = message.body if isinstance(message.body, bytes) else message.body.encode()
    return Delivery(
        entry.tag, queue, message.headers, message.content_type or "", body, entry.delivery_count, fault, fields
    )
