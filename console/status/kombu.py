"""Queue statistics through kombu: how many messages wait and, on RabbitMQ, how many consumers there are."""

from typing import Any

from kombu.connection import Connection

from console.status.snapshot import Depth, Reader, Results


class KombuStats:
    """Statistics by passive declares, which create and consume nothing. AMQP has no other statistics."""

    def __init__(self, connection: Connection, *, counts_consumers: bool) -> None:
        """`counts_consumers`: whether the broker counts consumers. kombu's virtual transports always say 0."""
        self._connection = connection
        self._counts_consumers = counts_consumers

    def depth(self, queue: str) -> Depth:
        """The depth of a queue that the workers read."""
        waiting, consumers = self._declared(queue)
        return Depth(waiting, None, None, consumers if self._counts_consumers else None)

    def results(self, name: str, queue: str) -> Results:
        """A results queue. All its consumers are one group of readers: they share its messages."""
        waiting, consumers = self._declared(queue)
        if not self._counts_consumers:
            return Results(name, waiting, None)
        reader = Reader("", consumers, waiting, in_work=None, behind_seconds=None, seen_seconds=None)
        return Results(name, waiting, (reader,) if consumers else ())

    def _declared(self, queue: str) -> tuple[int, int]:
        """Waiting messages and consumers of a queue; 0 and 0 when it does not exist yet."""
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
