import logging
import threading
import time
from collections.abc import Callable, Iterator
from queue import Empty, SimpleQueue
from typing import Final

from shared.messaging.errors import BrokerUnavailable
from shared.results.received import Received
from shared.results.subscription import Subscription

TURN_SECONDS: Final = 0.1
"""How long the thread may wait for its handler before it looks after the connection again."""
IDLE_SECONDS: Final = 0.25
"""How long it may wait for messages."""
DOWN_RESTS: Final = (0.05, 0.1, 0.2, 0.5, 1.0)
"""Seconds of rest after the first, second, ... failed exchange with the broker; the last one repeats."""

_log = logging.getLogger(__name__)


class ConnectionThread(threading.Thread):
    """Owns the connection beside the handler: receives, acknowledges, and keeps what is in hand ours.

    Another thread goes through `received` and says of each message by `settle` whether it is done.
    """

    def __init__(self, subscription: Subscription, stop: threading.Event) -> None:
        super().__init__(name="results-keeper", daemon=True)
        self._subscription = subscription
        self._told = stop
        self._over = threading.Event()
        self._waiting: SimpleQueue[Received | None] = SimpleQueue()
        self._settled: SimpleQueue[tuple[Received, bool]] = SimpleQueue()
        self._held = 0
        self._failures = 0
        self._failure: BaseException | None = None

    def received(self) -> Iterator[Received]:
        """The messages in the order of their coming, until the stop; what was lost meanwhile is left out."""
        for received in iter(self._waiting.get, None):
            if self._told.is_set() or not self._subscription.holds(received):
                self.settle(received, done=False)
            else:
                yield received

    def settle(self, received: Received, *, done: bool) -> None:
        """A message is to be acknowledged, or, if it is not done, to be handed back at the end."""
        self._settled.put((received, done))

    def end(self) -> None:
        """Acknowledge what is done, hand back the rest; raises what made this thread end by itself."""
        self._over.set()
        self.join()
        if self._failure is not None:
            raise self._failure

    def run(self) -> None:
        """Receive until the stop; keep what is in hand until the end."""
        try:
            while not (self._told.is_set() or self._over.is_set()):
                self._turn(self._receive)
            self._waiting.put(None)
            while not self._over.is_set():
                self._turn(self._subscription.keep)
            self._turn(lambda: None)
        except BaseException as error:  # nobody may wait for messages of a dead thread
            self._failure = error
            self._waiting.put(None)
        finally:
            self._subscription.close()

    def _turn(self, exchange: Callable[[], None]) -> None:
        done = self._collect()
        try:
            self._subscription.acknowledge(done)
            exchange()
        except BrokerUnavailable as error:
            self._rest(error)
        else:
            if self._failures:
                _log.warning("broker back")
                self._failures = 0

    def _collect(self) -> list[Received]:
        """What the handler is done with, waited for a little while anything is in its hands."""
        done: list[Received] = []
        wait = TURN_SECONDS if self._held else 0.0
        while True:
            try:
                received, is_done = self._settled.get(timeout=wait) if wait else self._settled.get_nowait()
            except Empty:
                return done
            wait = 0.0
            self._held -= 1
            if is_done:
                done.append(received)

    def _receive(self) -> None:
        for received in self._subscription.receive(0.0 if self._held else IDLE_SECONDS):
            self._held += 1
            self._waiting.put(received)

    def _rest(self, error: BrokerUnavailable) -> None:
        if self._failures == 0:
            _log.warning("broker away (%s); trying again", error)
        time.sleep(DOWN_RESTS[min(self._failures, len(DOWN_RESTS) - 1)])
        self._failures += 1
