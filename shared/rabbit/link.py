"""One open connection to RabbitMQ; every call has a time limit."""

import select
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from time import monotonic
from typing import Any, Final

from amqp import spec
from amqp.method_framing import frame_writer
from kombu.connection import Connection

from shared.messaging.errors import BrokerUnavailable
from shared.rabbit.frames import WriteBuffer, read_frames, tolerant_frame_handler

PUBLISH: Final = "Bssbb"
"""The AMQP types of the arguments of basic.publish: ticket, exchange, routing key, mandatory, immediate."""

LEAST_SECONDS: Final = 1.0
"""For connecting to one of several brokers, unless the time-out is shorter."""


def dialer(url: str, timeout: float, heartbeat: float) -> Connection:
    """What a `Link` connects with: a kombu URL of one or several brokers, and time limits. Connects nothing yet.

    `timeout`: seconds for each exchange; several brokers share it while connecting. `heartbeat`: whole seconds, at
    least one; after two to three silent intervals either side gives up the connection.
    """
    connecting = min(timeout, max(LEAST_SECONDS, timeout / len(url.split(";"))))
    options = {"frame_handler": tolerant_frame_handler, "connect_timeout": connecting}
    return Connection(url, connect_timeout=timeout, heartbeat=max(1, int(heartbeat)), transport_options=options)


class Link:
    """A connection with one channel, for one thread. Every call may raise `BrokerUnavailable`; then it is closed."""

    def __init__(self, dialer: Connection) -> None:
        """Connect to the first of the URL's brokers that answers in time; the next link begins with it."""
        self._amqp: Any = None
        self.blocked = False
        """Whether the broker accepts no messages now, as its memory or disk is full."""
        deadline = monotonic() + dialer.connect_timeout
        for left in reversed(range(max(1, len(dialer.alt)))):
            try:
                self._connect(dialer)
            except BrokerUnavailable:
                dialer.maybe_switch_next()
                if not left or monotonic() >= deadline:
                    raise
            else:
                return

    def _connect(self, dialer: Connection) -> None:
        with self.guarded():
            self._amqp = dialer.transport.establish_connection()
            self._amqp.sock.settimeout(dialer.connect_timeout)
            self._write_buffer = WriteBuffer(self._amqp.transport)
            self._amqp.frame_writer = frame_writer(self._amqp, self._write_buffer)
            self._amqp.on_blocked, self._amqp.on_unblocked = self._block, self._unblock
            self.channel = self._amqp.channel()
            self.channel.auto_decode = False  # bodies stay bytes
            self._poll = select.poll()
            self._poll.register(self._amqp.sock, select.POLLIN)

    @contextmanager
    def guarded(self) -> Iterator[None]:
        """For code that uses the channel. Any error closes the link: py-amqp raises many types on a broken one."""
        try:
            yield
        except Exception as error:
            self.drop()
            raise BrokerUnavailable(type(error).__name__) from error

    def drain(self, wait: float = 0.0) -> None:
        """Handle all that has arrived, waited for at most `wait` seconds. Sends a heartbeat when one is due."""
        with self.guarded():
            self._amqp.heartbeat_tick()
            while self._readable(wait):
                read_frames(self._amqp.sock, self._amqp.on_inbound_frame, self._amqp.frame_max)
                wait = 0.0

    @contextmanager
    def batch(self) -> Iterator[None]:
        """For messages or acknowledgements that may leave together: they are sent in one write."""
        with self.guarded():
            self._write_buffer.hold()
            yield
            self._write_buffer.release()

    def publish(self, exchange: str, routing_key: str, message: Any) -> None:
        """Send a message within a `batch`, before the broker has it. The broker returns one that reaches no queue."""
        # Not basic_publish: that polls the socket before each message, and never returns on half a frame.
        self.channel.send_method(spec.Basic.Publish, PUBLISH, (0, exchange, routing_key, True, False), message)

    def close(self) -> None:
        """Close the connection; the broker redelivers at once what is not acknowledged. Never raises."""
        with suppress(Exception):
            if self._amqp is not None and not self.blocked:  # a blocking broker does not read
                self._amqp.close()
        self.drop()

    def drop(self) -> None:
        """Break the connection, without telling the broker. Never raises."""
        amqp, self._amqp = self._amqp, None
        if amqp is not None:
            with suppress(Exception):
                amqp.collect()

    def _readable(self, wait: float) -> bool:
        pending = getattr(self._amqp.sock, "pending", None)  # of TLS
        return bool((pending and pending()) or self._poll.poll(max(0.0, wait) * 1000))

    def _block(self, _reason: str) -> None:
        self.blocked = True

    def _unblock(self) -> None:
        self.blocked = False
