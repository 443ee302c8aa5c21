"""What a broker says of its queues through kombu: how many messages wait, and on RabbitMQ how many read."""

from collections.abc import Iterable
from typing import Any

from kombu.connection import Connection

from console.status.snapshot import Depth, Reader, Results, Worker


class KombuStats:
    """Asks by passive declares, which make nothing and take nothing. AMQP tells no more than they do."""

    def __init__(self, connection: Connection, *, counts_consumers: bool) -> None:
        """`counts_consumers`: whether the broker does; kombu's own transports always say 0."""
        self._connection = connection
        self._counts_consumers = counts_consumers

    def depth(self, queue: str) -> Depth:
        """Of a queue that the workers read."""
        waiting, consumers = self._declared(queue)
        return Depth(waiting, None, None, consumers if self._counts_consumers else None)

    def workers(self, _: Iterable[str]) -> tuple[Worker, ...] | None:
        """Not named."""
        return None

    def connections(self) -> int | None:
        """Not told."""
        return None

    def results(self, name: str, queue: str) -> Results:
        """A results queue; whose consumers read it together is all one here."""
        waiting, consumers = self._declared(queue)
        if not self._counts_consumers:
            return Results(name, waiting, None)
        reader = Reader("", consumers, waiting, in_work=None, behind_seconds=None, seen_seconds=None)
        return Results(name, waiting, (reader,) if consumers else ())

    def _declared(self, queue: str) -> tuple[int, int]:
        """Messages that wait, and consumers; a queue that nobody has made yet has neither."""
        channel: Any = self._connection.channel()
        try:
            found = channel.queue_declare(queue, passive=True)
        except self._connection.channel_errors as error:
            if str(getattr(error, "reply_code", "")) != "404":
                raise
            return 0, 0
        else:
            channel.close()
            return found.message_count, found.consumer_count
