"""A worker's messages over RabbitMQ."""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from redis import Redis
from redis.exceptions import RedisError

from shared.ledger.message_set import MessageSet
from shared.messaging.delivery import Delivery
from shared.messaging.errors import BrokerUnavailable
from shared.messaging.message import Message
from shared.messaging.publisher import MessageRefused, NotStored, Publisher
from shared.redis_servers.refusals import refusal_code
from workers.runtime.settlement import Settlement
from workers.sources.cross_server_writes import SettlementPublisher, mark, release, write
from workers.sources.poison_guard import PoisonGuard
from workers.sources.rabbitmq_consumer import RabbitConsumer
from workers.sources.refusals import Refusals

AFTER_RECONNECT: Final = 16
"""Redelivered messages let through at once after this worker has reconnected: most were merely cut off with it."""


class RabbitSource:
    """The inner queues on RabbitMQ; the ledger and the results may be on any server.

    To settle is to write to the ledger, publish, mark the ledger, and acknowledge, in this order. A step that fails is
    tried again; what the broker has confirmed is not published again. A lost connection ends its deliveries, and their
    messages are delivered again: a settlement that has published nothing is then dropped, any other is finished.
    """

    def __init__(
        self,
        consumer: RabbitConsumer,
        inner: Publisher,
        results: Publisher,
        ledger: "Redis",
        poison_guard: PoisonGuard,
        prefetch: int,
        prefix: str,
    ) -> None:
        """At most `prefetch` messages are in work; `results` may be the same as `inner`."""
        self._consumer = consumer
        self._ledger = ledger
        self._poison_guard = poison_guard
        self._prefetch = prefetch
        self._in_work: dict[str, Delivery] = {}
        self._inner, self._results = inner, results
        self._publishers = _publishers(inner, results)
        self._refusals = Refusals(prefix, self._settle, self._in_work.get)

    def receive(self, wait: float) -> Sequence[Delivery]:
        """A batch of messages, waited for at most `wait` seconds."""
        with self._reporting():
            self._keep_publishers()
            self._refusals.retry()
            batch = self._take()
            if not batch:
                self._consumer.drain(wait)
                batch = self._take()
        return batch

    def settle(self, settlements: Sequence[Settlement]) -> None:
        """Write, publish, mark, acknowledge. A settlement that is refused for good becomes a dead letter."""
        with self._reporting(refusals=True):
            self._refusals.settle(settlements)

    def give_back(self, tags: Sequence[str]) -> None:
        """Hand these messages back. Their deliveries count."""
        with self._reporting():
            self._consumer.reject(tags)
        for tag in tags:
            self._in_work.pop(tag, None)
        self._poison_guard.given_back(tags)

    def on_probation(self) -> bool:
        """Whether a message is in work that may have killed other workers."""
        return self._poison_guard.on_probation()

    def renew(self) -> None:
        """Keep the connections alive, and with them the deliveries in work."""
        with self._reporting():
            self._keep_publishers()
            self._consumer.drain(0.0)

    def release(
        self, message_set: MessageSet, leaving: Sequence[tuple[str, Message]], *, results: bool
    ) -> Collection[str]:
        """Publish a message for each item, then take the items off the message set."""
        with self._reporting(refusals=True):
            return release(message_set, leaving, self._results if results else self._inner)

    def oldest(self, queues: Sequence[str]) -> float | None:
        """When the oldest message that this worker holds was published; those that wait on the broker are younger."""
        return self._consumer.oldest(queues)

    def close(self) -> None:
        """Hand back the messages in work, and close the connections. Their deliveries don't count."""
        self._poison_guard.clear()
        self._consumer.close()
        for publisher in self._publishers:
            publisher.close()

    def _take(self) -> list[Delivery]:
        """Messages from the consumer, as many as may be worked on now."""
        first, room = self._consumer.first, self._prefetch - len(self._in_work)
        for _ in range(len(self._consumer.again)):
            self._poison_guard.add(self._consumer.again.popleft())
        batch: list[Delivery] = []
        if room > 0:
            limit = AFTER_RECONNECT if self._consumer.connections > 1 else 1
            batch += self._poison_guard.release(min(limit, room))
        while first and len(batch) < room:
            batch.append(first.popleft())
        self._in_work.update((delivery.tag, delivery) for delivery in batch)
        return batch

    def _settle(self, settlements: Sequence[Settlement]) -> dict[str, str]:
        """Settle these. Returns the code of the error for the tag of each that is refused for good."""
        self._consumer.drain(0.0)  # notice a lost connection before anything is published
        valid = [settlement for settlement in settlements if self._is_valid(settlement)]
        refused = write(self._ledger, [settlement for settlement in valid if self._consumer.holds(settlement.tag)])
        for publisher in self._publishers:
            refused |= publisher.publish([settlement for settlement in valid if settlement.tag not in refused])
        done = [settlement for settlement in valid if settlement.tag not in refused]
        mark(self._ledger, done)
        self._consumer.ack(settlement.tag for settlement in done)
        self._forget([settlement for settlement in settlements if settlement.tag not in refused])
        return refused

    def _is_valid(self, settlement: Settlement) -> bool:
        """Whether it is to be finished: its delivery is open, or a part of it is published already."""
        return self._consumer.holds(settlement.tag) or any(
            publisher.has_sent(settlement) for publisher in self._publishers
        )

    def _forget(self, settlements: Sequence[Settlement]) -> None:
        tags = [settlement.tag for settlement in settlements]
        for tag in tags:
            self._in_work.pop(tag, None)
        self._poison_guard.settled(tags)
        for publisher in self._publishers:
            publisher.forget(settlements)

    def _keep_publishers(self) -> None:
        for publisher in self._publishers:
            publisher.keep()

    @contextmanager
    def _reporting(self, *, refusals: bool = False) -> Iterator[None]:
        """Raise `BrokerUnavailable`. `refusals`: but what a server refuses for good is raised as it is."""
        try:
            yield
        except BrokerUnavailable:  # the consumer's connection is lost: all its messages are delivered again
            self._poison_guard.clear()
            raise
        except (NotStored, RedisError) as error:
            if refusals and (isinstance(error, MessageRefused) or refusal_code(error)):
                raise
            if isinstance(error, NotStored):
                raise BrokerUnavailable(f"not stored: {error}") from error
            raise BrokerUnavailable(type(error).__name__) from error


def _publishers(inner: Publisher, results: Publisher) -> Sequence[SettlementPublisher]:
    if inner is results:
        return (SettlementPublisher(inner, lambda settlement: (*settlement.messages, *settlement.results)),)
    return SettlementPublisher(inner, lambda settlement: settlement.messages), SettlementPublisher(
        results, lambda settlement: settlement.results
    )
