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
from shared.streams.inbox import Inbox
from shared.streams.move import Move, MoveRefused, calls

LONGEST_WAIT = 1.0
"""Seconds that one read may wait, so that takeovers are not missed."""

BUSY_WAIT = 0.01
"""Seconds that one read may wait while there is something to settle or to renew."""

PAUSE = 0.005
"""Seconds between two reads of one who waits, where the server answers without waiting."""

FLUSH_AT = 100
"""Noted settlements that are sent without waiting for the next drain."""


class Channel(virtual.Channel):
    """A kombu channel that is one consumer of the group.

    Read and drain in one thread; `basic_ack`, `basic_reject`, `flush`, `renew` and publishing may come from any.
    After a connection error every method may simply be called again. In a forked child the channel is another
    consumer, which holds nothing.
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
        self._own_inbox = self._new_inbox()

    def _new_inbox(self, prefetch_count: int = 0) -> Inbox:
        return Inbox(self._redis, self._options, Deliveries(self, prefetch_count))

    @property
    def _inbox(self) -> Inbox:
        if self._own_inbox.pid != os.getpid():
            self._own_inbox = self._new_inbox(self._own_inbox.deliveries.prefetch_count)
        return self._own_inbox

    @property
    def qos(self) -> Deliveries:
        """What this channel holds, with the prefetch count."""
        return self._inbox.deliveries

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
        """The XADD that publishing such a message to the queue runs, for use in a `Move`."""
        message = {
            "body": body,
            "content-type": content_type,
            "content-encoding": content_encoding,
            "headers": headers or {},
            "properties": properties or {},
        }
        return self._addition(queue, message)

    def create_publish_batch(self, max_size: int) -> PublishBatch:
        """What stands behind kombu's `Producer.batch()`."""
        return PublishBatch(self, self._redis, max_size)

    def _put(
        self, queue: str, message: Mapping[str, Any], publish_batch: PublishBatch | None = None, **_kwargs: Any
    ) -> None:
        command = self._addition(queue, message)
        if publish_batch is None:
            self._redis.execute_command(*command)
        else:
            publish_batch.add(command)

    def _addition(self, queue: str, message: Mapping[str, Any]) -> tuple[str | bytes, ...]:
        return ("XADD", self._key(queue), "*", *entry_fields(message))

    # Queues

    def queue_delete(self, queue: str, if_unused: bool = False, if_empty: bool = False, **_kwargs: Any) -> None:
        """Delete the stream with all that is in it; `if_unused` can't be known and is not looked at."""
        if if_empty and self._size(queue):
            return
        self.state.queue_bindings_delete(queue)
        self._delete(queue)

    def _new_queue(self, queue: str, **_kwargs: Any) -> None:
        self._inbox.member.make_group(queue)

    def _has_queue(self, queue: str, **_kwargs: Any) -> bool:
        return bool(self._redis.exists(self._key(queue)))

    def _size(self, queue: str) -> int:
        """Messages waiting and in work: settled ones are deleted."""
        return int(self._redis.xlen(self._key(queue)))

    def oldest(self, queue: str) -> float | None:
        """When the oldest message that is not settled was put there, unix seconds by the server's clock."""
        first = self._redis.xrange(self._key(queue), count=1)
        return int(first[0][0].partition(b"-")[0]) / 1000 if first else None

    def fullness(self) -> float:
        """The share of its memory limit that the server uses; 0 where it has none, or does not tell."""
        try:
            memory = self._redis.info("memory")
        except ResponseError:  # managed servers may forbid it
            return 0.0
        limit = int(memory.get("maxmemory", 0))
        return float(memory["used_memory"]) / limit if limit else 0.0

    def _purge(self, queue: str) -> int:
        return self._inbox.purge(queue)

    def _delete(self, queue: str, *_args: Any, **_kwargs: Any) -> None:
        self._redis.delete(self._key(queue))

    def _key(self, queue: str) -> str:
        return self._inbox.member.key(queue)

    # Consuming

    def basic_consume(
        self, queue: str, no_ack: bool, callback: Callable[[virtual.Message], Any], consumer_tag: str, **kwargs: Any
    ) -> None:
        """Have the messages of the queue handed to the callback; with `no_ack` each is settled before that."""

        def receive(delivery: Delivery) -> None:
            message = self.message(delivery)
            if no_ack:
                self.qos.ack(delivery.tag)
            callback(message)

        super().basic_consume(queue, no_ack, callback, consumer_tag, **kwargs)  # type: ignore[no-untyped-call]
        self._receivers[queue] = receive

    def basic_cancel(self, consumer_tag: str) -> None:
        """Hand on no more to this consumer; what it was given stays held."""
        super().basic_cancel(consumer_tag)  # type: ignore[no-untyped-call]
        self._receivers = {queue: self._receivers[queue] for queue in self._active_queues}

    def basic_get(self, queue: str, no_ack: bool = False, **_kwargs: Any) -> virtual.Message | None:
        """One message at once, or None; the prefetch count does not matter."""
        self._inbox.upkeep(())
        delivery = self._inbox.fetch_one(queue)
        if delivery is None:
            return None
        if no_ack:
            self.qos.ack(delivery.tag)
        return self.message(delivery)

    def drain_events(self, timeout: float | None = None, callback: Any = None) -> None:
        """Do the upkeep of what is held, then hand on what is ready; raises Empty when there is nothing.

        Raises a connection error when the server is away; the channel then loses nothing, and may be drained again.
        """
        inbox, queues = self._inbox, list(dict.fromkeys(self._active_queues))
        inbox.upkeep(queues)
        if not inbox.ready:
            inbox.fetch(queues, self._wait(timeout))
        if not inbox.ready:
            raise Empty
        while inbox.ready:
            self._hand_on(inbox.ready.popleft())
            inbox.renew_when_due()  # callbacks that do work take their time

    def receive(self, queues: Sequence[str], timeout: float) -> list[Delivery]:
        """A batch as it stands in the streams, without kombu's messages, waited for at most `timeout` seconds.

        For one who settles by `move`: it is held until then. The prefetch count is that of `basic_qos`. Raises a
        connection error as `drain_events` does.
        """
        deadline = monotonic() + timeout
        while True:
            if batch := self._batch(queues, timeout):
                return batch
            timeout = deadline - monotonic()
            if timeout <= 0:
                return []
            sleep(min(timeout, PAUSE))

    def _batch(self, queues: Sequence[str], timeout: float) -> list[Delivery]:
        inbox = self._inbox
        inbox.upkeep(queues)
        if not inbox.ready:
            inbox.fetch(queues, self._wait(timeout))
        batch = [inbox.ready.popleft() for _ in range(len(inbox.ready))]
        for delivery in batch:
            if delivery.lost:
                self.qos.reject(delivery.tag, requeue=True)
        return [delivery for delivery in batch if not delivery.lost]

    def message(self, delivery: Delivery) -> StreamMessage:
        """What kombu makes of it."""
        return Message(payload_of(delivery), channel=self)

    def _hand_on(self, delivery: Delivery) -> None:
        receiver = self._receivers.get(delivery.queue)
        if receiver is None or delivery.lost:  # cancelled or taken over meanwhile
            self.qos.reject(delivery.tag, requeue=True)
        else:
            receiver(delivery)

    def _wait(self, timeout: float | None) -> float:
        others = any(channel is not self and channel._consumers for channel in self.connection.channels)
        longest = BUSY_WAIT if others or self.qos.busy else self._longest_wait
        return longest if timeout is None else min(longest, timeout)

    # Settling

    def basic_ack(self, delivery_tag: str, multiple: bool = False) -> None:
        """Note that the message is done; never raises. Sent by the next drain, `flush` or `close`, or at 100."""
        self.qos.ack(delivery_tag, multiple)
        if len(self.qos.acked) >= FLUSH_AT:
            with suppress(RedisError):  # they stay noted
                self.flush()

    def flush(self) -> None:
        """Send what is noted. Raises a connection error, and keeps it noted, when that fails."""
        self._inbox.flush()

    def renew(self) -> None:
        """Begin the leases of all that is held anew; `drain_events` does it every third of a lease."""
        self._inbox.renew()

    def move(self, moves: Sequence[Move]) -> list[bool]:
        """Settle messages and run the commands of each, in one step on the server.

        True where the message was still ours and is settled now; False where it was not, then nothing was run. So a
        worker that lost its lease adds nothing, nor does a repetition after a connection error, which leaves all
        messages held. Raises MoveRefused when a command was refused.
        """
        qos = self.qos
        held = [(at, delivery) for at, move in enumerate(moves) if (delivery := qos.find(move.delivery_tag))]
        outcomes: list[int | bytes] = []
        for call in calls((moves[at], delivery) for at, delivery in held):
            outcomes += self._inbox.member.move(call)
        results: list[bool | None] = [False] * len(moves)
        for (at, _), outcome in zip(held, outcomes, strict=True):
            results[at] = None if isinstance(outcome, bytes) else outcome == 1
        for move, result in zip(moves, results, strict=True):
            if result is not None:
                qos.forget(move.delivery_tag)
        if refusals := [outcome for outcome in outcomes if isinstance(outcome, bytes)]:
            raise MoveRefused(refusals[0].decode(errors="replace"), results)
        return [result is True for result in results]

    def leave(self) -> None:
        """Settle what is noted, hand back what is held and leave the groups; reading again joins them again."""
        self._inbox.leave()

    def close(self) -> None:
        """Leave, and close the channel. In a forked child that touches nothing of the parent's."""
        if not self.closed and self._own_inbox.pid == os.getpid():
            self.qos.restore_unacked_once()
        super().close()  # type: ignore[no-untyped-call]
