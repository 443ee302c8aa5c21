"""Listens to results on RabbitMQ through a queue of its own, so that it takes no message from any consumer."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Final
from uuid import uuid4

from shared.brokers.factory import connect, open_connection
from shared.messaging.errors import BrokerUnavailable

CONNECT_SECONDS: Final = 5.0
CLOSE_SECONDS: Final = 2.0


class Listener:
    """An exclusive queue, bound to a topic exchange, that is deleted with its connection. For one thread.

    Creating it and `receive` may raise `BrokerUnavailable`; then it is closed, and a new one is needed.
    """

    def __init__(self, url: str, exchange: str, topics: Sequence[str]) -> None:
        """Listen from now on to messages of these topics, such as `decision.#`. Creates a missing exchange."""
        self._received: list[bytes] = []
        self._connection = open_connection(url, connect_timeout=CONNECT_SECONDS)
        with self._reporting():
            connect(self._connection)
            channel: Any = self._connection.default_channel
            channel.exchange_declare(exchange, "topic", durable=True, auto_delete=False)
            queue = f"{exchange}.listener-{uuid4().hex}"  # a name that the pipeline's user may declare
            channel.queue_declare(queue, exclusive=True, auto_delete=True)
            for topic in topics:
                channel.queue_bind(queue, exchange, topic)
            channel.basic_consume(queue, no_ack=True, callback=self._note)

    def receive(self, wait: float) -> list[bytes]:
        """The bodies of the messages since the last call, waited for at most `wait` seconds."""
        with self._reporting(), suppress(TimeoutError):
            self._connection.drain_events(timeout=wait)
        received, self._received = self._received, []
        return received

    def close(self) -> None:
        """Stop listening. Never raises."""
        with suppress(Exception):  # it may be broken
            if self._connection.connected:  # else asking for it would connect
                self._connection.connection.sock.settimeout(CLOSE_SECONDS)  # the broker may never answer
            self._connection.close()

    def _note(self, message: Any) -> None:
        body = message.body
        self._received.append(body if isinstance(body, bytes) else str(body).encode())

    @contextmanager
    def _reporting(self) -> Iterator[None]:
        try:
            yield
        except (*self._connection.connection_errors, *self._connection.channel_errors) as error:
            self.close()
            raise BrokerUnavailable(type(error).__name__) from error
