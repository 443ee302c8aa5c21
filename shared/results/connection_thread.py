import logging
import threading
import time
from collections.abc import Iterator, Sequence
from queue import Empty, Queue
from typing import ClassVar, Final

from shared.messaging.broker_thread import BrokerThread
from shared.messaging.delivery import Delivery
from shared.messaging.errors import BrokerUnavailable
from shared.results.subscription import Subscription

STOP_CHECK: Final = 0.1
"""Seconds after which a consumer without messages checks again whether it is to stop."""
END_SECONDS: Final = 2.0
"""How long `end` goes on trying to acknowledge what is handled."""

_log = logging.getLogger(__name__)


class ConnectionThread(BrokerThread[Delivery]):
    """The thread that owns a consumer's broker connection, beside the thread of its handler.

    The other thread iterates over `received`, and calls `finish` for each message that is to be acknowledged.
    """

    BUSY_WAIT: ClassVar[float] = 0.1

    def __init__(self, subscription: Subscription, stop: threading.Event) -> None:
        """`stop`: set it to end `received`."""
        super().__init__("results", subscription)
        self._subscription = subscription
        self._stop_event = stop
        self._end_at: float | None = None
        # SimpleQueue of CPython 3.11 waits for ever when a signal handler runs beyond the end of a wait.
        self._arrived: Queue[Delivery] = Queue()

    def received(self) -> Iterator[Delivery]:
        """The messages in the order of their arrival, until the stop. Leaves out those whose lease was lost."""
        while self.is_alive() and not self._stop_event.is_set():
            try:
                delivery = self._arrived.get(timeout=STOP_CHECK)
            except Empty:
                continue
            if self._stop_event.is_set():
                return
            if self._subscription.holds(delivery):
                yield delivery
            else:
                self.finish(delivery)

    def finish(self, settlement: Delivery) -> None:
        """Acknowledge this message. Callable from any thread."""
        super().finish(settlement)
        self.wake()

    def end(self) -> None:
        """Acknowledge what is finished, hand back the rest, and end. Raises what has ended the thread, if anything."""
        self._end_at = time.monotonic() + END_SECONDS
        self.wake()
        self.join()
        if self.failure is not None:
            raise self.failure

    def _reads_nothing(self) -> bool:
        return self._stop_event.is_set() or self._end_at is not None

    def _is_over(self) -> bool:
        return self._end_at is not None and (not self._finished or time.monotonic() >= self._end_at)

    def _deliver(self, batch: Sequence[Delivery]) -> None:
        for delivery in batch:
            self._arrived.put(delivery)

    def _log_unavailable(self, error: BrokerUnavailable) -> None:
        _log.warning("broker.unavailable error=%s in_flight=%d", error, self._in_work)

    def _log_recovered(self) -> None:
        _log.warning("broker.recovered after_failures=%d", self._failures)
