"""A worker's messages over RabbitMQ."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from redis import Redis
from redis.exceptions import RedisError

from shared.ledger.message_set import MessageSet
from shared.messaging.errors import BrokerUnavailable
from shared.messaging.message import Message
from shared.messaging.publisher import NotStored, Publisher
from workers.runtime.delivery import Delivery
from workers.runtime.settlement import Settlement
from workers.sources.cross_server_writes import SettlementPublisher, mark, release, write
from workers.sources.poison_guard import PoisonGuard
from workers.sources.rabbitmq_consumer import RabbitConsumer

AFTER_RECONNECT: Final = 16
"""Suspects let through at once where the connection was lost before: most of them were cut off, and killed nobody."""


class RabbitSource:
    """The inner queues on RabbitMQ, ledger and results wherever they are.

    A settlement writes to the ledger, publishes, marks the ledger, and acknowledges last. What fails on the way is
    tried again, and what was confirmed is not published again. A delivery ends with its connection, and its message
    comes again: then a settlement that has published nothing yet is dropped, and one that has is finished.
    """

    def __init__(
        self,
        consumer: RabbitConsumer,
        inner: Publisher,
        results: Publisher,
        ledger: "Redis",
        poison_guard: PoisonGuard,
        prefetch: int,
    ) -> None:
        """`prefetch` messages are in work at most; `results` may be the same as `inner`."""
        self._consumer = consumer
        self._ledger = ledger
        self._poison_guard = poison_guard
        self._prefetch = prefetch
        self._in_work: set[str] = set()
        self._inner, self._results = inner, results
        self._publishers = _publishers(inner, results)

    def receive(self, wait: float) -> Sequence[Delivery]:
        """A batch of messages, waited for at most `wait` seconds."""
        with self._reporting():
            self._keep()
            batch = self._take()
            if not batch:
                self._drain(wait)
                batch = self._take()
        return batch

    def settle(self, settlements: Sequence[Settlement]) -> None:
        """Write, publish, mark, acknowledge."""
        with self._reporting():
            self._drain(0.0)  # a connection that is gone should be known before anything is published
            ours = [settlement for settlement in settlements if self._stands(settlement)]
            write(self._ledger, [settlement for settlement in ours if self._consumer.holds(settlement.tag)])
            for publisher_ in self._publishers:
                publisher_.publish(ours)
            mark(self._ledger, ours)
            self._consumer.ack(settlement.tag for settlement in ours)
        self._forget(settlements)

    def renew(self) -> None:
        """Keep the connections, and with them what is in work."""
        with self._reporting():
            self._keep()
            self._drain(0.0)

    def release(self, message_set: MessageSet, leaving: Sequence[tuple[str, Message]], *, results: bool) -> None:
        """Publish a message for each, then take the items off the message set."""
        with self._reporting():
            release(message_set, leaving, self._results if results else self._inner)

    def oldest(self, queues: Sequence[str]) -> float | None:
        """When the oldest message that this worker holds was published: what waits behind it is younger."""
        return self._consumer.oldest(queues)

    def close(self) -> None:
        """Hand back what is in work."""
        for end in {id(end): end for end in (self._consumer, self._inner, self._results)}.values():
            end.close()

    def _take(self) -> list[Delivery]:
        """As many as may be worked on now."""
        arrived, room = self._consumer.first, self._prefetch - len(self._in_work)
        for _ in range(len(self._consumer.again)):
            self._poison_guard.add(self._consumer.again.popleft())
        batch: list[Delivery] = []
        if room > 0:
            most = AFTER_RECONNECT if self._consumer.connections > 1 else 1
            batch += self._poison_guard.release(min(most, room))
        while arrived and len(batch) < room:
            batch.append(arrived.popleft())
        self._in_work.update(delivery.tag for delivery in batch)
        return batch

    def _stands(self, settlement: Settlement) -> bool:
        """Whether there is still something to do for it."""
        return self._consumer.holds(settlement.tag) or any(
            publisher_.has_sent(settlement) for publisher_ in self._publishers
        )

    def _forget(self, settlements: Sequence[Settlement]) -> None:
        tags = [settlement.tag for settlement in settlements]
        self._in_work.difference_update(tags)
        self._poison_guard.settled(tags)
        for publisher_ in self._publishers:
            publisher_.forget(settlements)

    def _drain(self, wait: float) -> None:
        try:
            self._consumer.drain(wait)
        except BrokerUnavailable:
            self._poison_guard.clear()
            raise

    def _keep(self) -> None:
        for publisher_ in self._publishers:
            publisher_.publisher.keep()

    @contextmanager
    def _reporting(self) -> Iterator[None]:
        try:
            yield
        except (BrokerUnavailable, NotStored) as error:
            raise BrokerUnavailable(f"{type(error).__name__}: {error}") from error
        except RedisError as error:
            raise BrokerUnavailable(type(error).__name__) from error


def _publishers(inner: Publisher, results: Publisher) -> Sequence[SettlementPublisher]:
    if inner is results:
        return (SettlementPublisher(inner, lambda settlement: (*settlement.messages, *settlement.results)),)
    return SettlementPublisher(inner, lambda settlement: settlement.messages), SettlementPublisher(
        results, lambda settlement: settlement.results
    )
