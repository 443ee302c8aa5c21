import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from queue import Empty
from time import monotonic, sleep
from typing import Any

from kombu.transport import virtual
from redis.exceptions import RedisError, ResponseError

from shared.streams.batch import PublishBatch
from shared.streams.deliveries import Deliveries
from shared.streams.delivery import Delivery
from shared.streams.entry import Message, entry_fields, payload_of
from shared.streams.entry import Message as StreamMessage  # within the class `Message` is kombu's attribute
from shared.streams.move import Move, MoveRefused, split_into_calls
from shared.streams.reader import StreamReader

LONGEST_WAIT = 1.0
"""Seconds that one read may block, so that takeovers are not late."""

BUSY_WAIT = 0.01
"""Seconds that one read may block while messages are held or settlements wait to be sent."""

POLL_INTERVAL = 0.005
"""Seconds between two reads that do not block, because the prefetch count is used up."""

FLUSH_AT = 100
"""Recorded acknowledgements that are sent at once, without waiting for the next drain."""


class Channel(virtual.Channel):
    """A kombu channel that is one consumer of the group.

    Read and drain in one thread only. `basic_ack`, `basic_reject`, `flush`, `renew` and publishing may be called from
    any thread. After a connection error every method may be called again. In a forked child the channel becomes
    another consumer, which holds no messages.
    """

    Message = Message
    QoS = Deliveries
    body_encoding = "utf-8"  # bodies stay as they are
    from_transport_options: Any = ()

    def __init__(self, connection: Any, **kwargs: Any) -> None:
        super().__init__(connection, **kwargs)  # type: ignore[no-untyped-call]
        self._redis = connection.redis
        self._options = connection.options
        self._receivers: dict[str, Callable[[Delivery], None]] = {}
        self._longest_wait = min(LONGEST_WAIT, connection.socket_timeout / 2)
        self._own_reader = self._new_reader()

    def _new_reader(self, prefetch_count: int = 0) -> StreamReader:
        return StreamReader(self._redis, self._options, Deliveries(self, prefetch_count))

    @property
    def _reader(self) -> StreamReader:
        if self._own_reader.pid != os.getpid():
            self._own_reader = self._new_reader(self._own_reader.deliveries.prefetch_count)
        return self._own_reader

    @property
    def qos(self) -> Deliveries:
        """The deliveries that this channel holds, and its prefetch count."""
        return self._reader.deliveries

    # Publishing

    def entry_command(
        self,
        queue: str,
        body: str | bytes,
        *,
        content_type: str | None = None,
        content_encoding: str | None = None,
        headers: Mapping[str, Any] | None = None,
        properties: Mapping[str, Any] | None = None,
    ) -> tuple[str | bytes, ...]:
        """The XADD command that publishes such a message to the queue, for use in a `Move`."""
        message = {
            "body": body,
            "content-type": content_type,
            "content-encoding": content_encoding,
            "headers": headers or {},
            "properties": properties or {},
        }
        return self._xadd(queue, message)

    def create_publish_batch(self, max_size: int) -> PublishBatch:
        """The batch that kombu's `Producer.batch()` publishes to."""
        return PublishBatch(self, self._redis, max_size)

    def _put(
        self, queue: str, message: Mapping[str, Any], publish_batch: PublishBatch | None = None, **_kwargs: Any
    ) -> None:
        command = self._xadd(queue, message)
        if publish_batch is None:
            self._redis.execute_command(*command)
        else:
            publish_batch.add(command)

    def _xadd(self, queue: str, message: Mapping[str, Any]) -> tuple[str | bytes, ...]:
        return ("XADD", self._key(queue), "*", *entry_fields(message))

    # Queues

    def queue_delete(self, queue: str, if_unused: bool = False, if_empty: bool = False, **_kwargs: Any) -> None:
        """Delete the stream and its messages. `if_unused` is ignored: Redis can't tell."""
        if if_empty and self._size(queue):
            return
        self.state.queue_bindings_delete(queue)
        self._delete(queue)

    def _new_queue(self, queue: str, **_kwargs: Any) -> None:
        self._reader.consumer.make_group(queue)

    def _has_queue(self, queue: str, **_kwargs: Any) -> bool:
        return bool(self._redis.exists(self._key(queue)))

    def _size(self, queue: str) -> int:
        """Messages that are waiting or being worked on. Acknowledged ones are deleted, unless `keep_settled` is set."""
        return int(self._redis.xlen(self._key(queue)))

    def depths(self, queues: Sequence[str]) -> list[int]:
        """Messages in each of these queues, waiting or being worked on. Creates missing queues. One round trip."""
        return self._reader.consumer.lengths(queues)

    def oldest(self, queue: str) -> float | None:
        """When the oldest message in the stream was published, in Unix seconds of Redis's clock. None: it is empty."""
        first = self._redis.xrange(self._key(queue), count=1)
        return int(first[0][0].partition(b"-")[0]) / 1000 if first else None

    def memory_info(self) -> Mapping[str, Any]:
        """Redis's `INFO memory`; empty when Redis forbids INFO, as some managed servers do."""
        try:
            info: Mapping[str, Any] = self._redis.info("memory")
        except ResponseError:
            return {}
        return info

    def _purge(self, queue: str) -> int:
        return self._reader.purge(queue)

    def _delete(self, queue: str, *_args: Any, **_kwargs: Any) -> None:
        self._redis.delete(self._key(queue))

    def _key(self, queue: str) -> str:
        return self._reader.consumer.key(queue)

    # Consuming

    def basic_consume(
        self, queue: str, no_ack: bool, callback: Callable[[virtual.Message], Any], consumer_tag: str, **kwargs: Any
    ) -> None:
        """Call `callback` with each message of the queue. With `no_ack` a message is acknowledged before the call."""

        def receive(delivery: Delivery) -> None:
            message = self.message(delivery)
            if no_ack:
                self.qos.ack(delivery.tag)
            callback(message)

        super().basic_consume(queue, no_ack, callback, consumer_tag, **kwargs)  # type: ignore[no-untyped-call]
        self._receivers[queue] = receive

    def basic_cancel(self, consumer_tag: str) -> None:
        """Stop calling this consumer's callback. Messages that it has received stay held."""
        super().basic_cancel(consumer_tag)  # type: ignore[no-untyped-call]
        self._receivers = {queue: self._receivers[queue] for queue in self._active_queues}

    def basic_get(self, queue: str, no_ack: bool = False, **_kwargs: Any) -> virtual.Message | None:
        """One message, or None when there is none. Does not wait, and ignores the prefetch count."""
        self._reader.upkeep(())
        delivery = self._reader.fetch_one(queue)
        if delivery is None:
            return None
        if no_ack:
            self.qos.ack(delivery.tag)
        return self.message(delivery)

    def drain_events(self, timeout: float | None = None, callback: Any = None) -> None:
        """Send settlements, renew leases, then call the callbacks with the messages that are ready.

        Raises Empty when no message came within `timeout` seconds. Raises a connection error when Redis is
        unreachable: no message is lost, and the channel may be drained again.
        """
        reader, queues = self._reader, list(dict.fromkeys(self._active_queues))
        reader.upkeep(queues)
        if not reader.ready:
            reader.fetch(queues, self._wait(timeout))
        if not reader.ready:
            raise Empty
        while reader.ready:
            self._dispatch(reader.ready.popleft())
            reader.renew_when_due()  # a callback may run for long

    def receive(self, queues: Sequence[str], timeout: float) -> list[Delivery]:
        """Read a batch of entries without making kombu messages of them. Waits at most `timeout` seconds for one.

        The deliveries are held until they are settled, for example by `move`. `basic_qos` sets the prefetch count.
        Raises a connection error as `drain_events` does.
        """
        deadline = monotonic() + timeout
        while True:
            if batch := self._batch(queues, timeout):
                return batch
            timeout = deadline - monotonic()
            if timeout <= 0:
                return []
            sleep(min(timeout, POLL_INTERVAL))

    def _batch(self, queues: Sequence[str], timeout: float) -> list[Delivery]:
        reader = self._reader
        reader.upkeep(queues)
        if not reader.ready:
            reader.fetch(queues, self._wait(timeout))
        batch = [reader.ready.popleft() for _ in range(len(reader.ready))]
        for delivery in batch:
            if delivery.lease_lost:
                self.qos.reject(delivery.tag, requeue=True)
        return [delivery for delivery in batch if not delivery.lease_lost]

    def message(self, delivery: Delivery) -> StreamMessage:
        """The kombu message of a delivery."""
        return Message(payload_of(delivery), channel=self)

    def _dispatch(self, delivery: Delivery) -> None:
        receiver = self._receivers.get(delivery.queue)
        if receiver is None or delivery.lease_lost:  # cancelled, or taken over by another consumer
            self.qos.reject(delivery.tag, requeue=True)
        else:
            receiver(delivery)

    def _wait(self, timeout: float | None) -> float:
        others = any(channel is not self and channel._consumers for channel in self.connection.channels)
        longest = BUSY_WAIT if others or self.qos.busy else self._longest_wait
        return longest if timeout is None else min(longest, timeout)

    # Settling

    def basic_ack(self, delivery_tag: str, multiple: bool = False) -> None:
        """Acknowledge a message. Sent by the next drain, `flush` or `close`, or when 100 are recorded. Never raises."""
        self.qos.ack(delivery_tag, multiple)
        if len(self.qos.acked) >= FLUSH_AT:
            with suppress(RedisError):  # they stay recorded
                self.flush()

    def flush(self) -> None:
        """Send the recorded settlements. Raises a connection error; they then stay recorded."""
        self._reader.flush()

    def renew(self) -> None:
        """Renew the leases of all held messages. `drain_events` does this every third of a lease."""
        self._reader.renew()

    def move(self, moves: Sequence[Move]) -> list[bool]:
        """Acknowledge messages and run the commands of each, in one step on the server.

        Returns for each move True when it was done, or False when the lease was lost: then none of its commands ran.
        A move that is repeated after a connection error therefore runs its commands once. After a connection error
        all messages are still held. Raises MoveRefused when Redis refused a command.
        """
        qos = self.qos
        held = [(at, delivery) for at, move in enumerate(moves) if (delivery := qos.find(move.delivery_tag))]
        outcomes: list[int | bytes] = []
        for call in split_into_calls((moves[at], delivery) for at, delivery in held):
            outcomes += self._reader.consumer.move(call)
        results: list[bool | str] = [False] * len(moves)
        for (at, _), outcome in zip(held, outcomes, strict=True):
            results[at] = outcome.decode(errors="replace") if isinstance(outcome, bytes) else outcome == 1
        for move, result in zip(moves, results, strict=True):
            if not isinstance(result, str):
                qos.forget(move.delivery_tag)
        if any(isinstance(result, str) for result in results):
            raise MoveRefused(results)
        return [result is True for result in results]

    def leave_groups(self) -> None:
        """Send settlements, hand back held messages and leave the groups. The next read joins them again."""
        self._reader.leave_groups()

    def close(self) -> None:
        """Leave the groups and close the channel. In a forked child the parent's messages stay as they are."""
        if not self.closed and self._own_reader.pid == os.getpid():
            self.qos.restore_unacked_once()
        super().close()  # type: ignore[no-untyped-call]
