"""The one thread that owns a broker connection: it reads batches, settles batches and renews leases."""

import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import ClassVar, Generic, Protocol, TypeVar

from shared.messaging.delivery import Delivery
from shared.messaging.errors import BrokerUnavailable

IDLE_WAIT = 0.25
"""Seconds that a read waits for messages while none is in work."""
UPKEEP_INTERVAL = 0.2
"""Seconds between two calls of `_upkeep`."""
DOWN_PAUSES = (0.05, 0.1, 0.2, 0.5, 1.0)
"""Seconds to pause after the first, second, ... failed exchange with the broker; the last one repeats."""

S = TypeVar("S")
"""What settles one message."""
S_contra = TypeVar("S_contra", contravariant=True)


class MessageSource(Protocol[S_contra]):
    """One consumer's side of a broker. For one thread; all but `close` may raise `BrokerUnavailable`."""

    def receive(self, wait: float) -> Sequence[Delivery]:
        """A batch of messages, waited for at most `wait` seconds; renews the leases of those in work."""

    def settle(self, settlements: Sequence[S_contra]) -> None:
        """Settle these messages. After a failure it is called again with the same ones, and maybe more."""

    def renew(self) -> None:
        """Renew the leases of the messages in work, and read nothing."""

    def close(self) -> None:
        """Hand back the messages in work, and close the connection. Never raises."""


class BrokerThread(threading.Thread, ABC, Generic[S]):
    """Moves messages between a broker and another thread that works on them.

    Each turn settles what is finished, then reads. After a `BrokerUnavailable` it pauses and tries again, however long
    the broker is away; what is finished stays finished until it is settled. Any other exception ends the thread.
    """

    BUSY_WAIT: ClassVar[float]
    """Seconds between two reads while messages are in work and none is found; `wake` ends the wait."""

    def __init__(self, name: str, source: MessageSource[S]) -> None:
        super().__init__(name=name, daemon=True)
        self._source = source
        self._finished: deque[S] = deque()
        self._woken = threading.Event()
        self._in_work = 0
        self._failures = 0
        self._upkeep_at = 0.0
        self.failure: BaseException | None = None
        """The exception that ended the thread; None while it runs, and after a normal end."""
        self.turned_at = time.monotonic()
        """When the thread last got on: each exchange with the broker has a time limit."""
        self.progressed_at = self.turned_at
        """When messages were settled last, or the first one came."""
        self.connected = False
        """Whether the last exchange with the broker succeeded."""

    def finish(self, settlement: S) -> None:
        """A message is done: settle it with the next batch. Callable from any thread."""
        self._finished.append(settlement)

    def wake(self) -> None:
        """Settle now what is finished. Callable from any thread; once for many messages is best."""
        self._woken.set()

    @property
    def in_work(self) -> int:
        """Messages that were read and are not settled."""
        return self._in_work

    def turned(self) -> None:
        """Note that the thread gets on. For what it calls."""
        self.turned_at = time.monotonic()

    def run(self) -> None:
        """Take turns until `_is_over`; then hand back what is in work."""
        try:
            while not self._is_over():
                self._try_turn()
        except BaseException as error:  # the process must learn that this thread is dead
            self.failure = error
        finally:
            self._source.close()

    @abstractmethod
    def _reads_nothing(self) -> bool:
        """Whether to read no messages now."""

    @abstractmethod
    def _is_over(self) -> bool:
        """Whether no more is to be settled."""

    @abstractmethod
    def _deliver(self, batch: Sequence[Delivery]) -> None:
        """Hand these messages to the thread that works on them."""

    @abstractmethod
    def _log_unavailable(self, error: BrokerUnavailable) -> None:
        """The first exchange has failed."""

    @abstractmethod
    def _log_recovered(self) -> None:
        """An exchange has succeeded after `_failures` failed ones."""

    def _try_turn(self) -> None:
        try:
            self._turn()
        except BrokerUnavailable as error:
            self.connected = False
            self._pause(error)
        else:
            self.connected = True
            if self._failures:
                self._log_recovered()
                self._failures = 0

    def _turn(self) -> None:
        """Settle, do the upkeep, read and wait: one batch each."""
        self._woken.clear()
        self.turned()
        self._settle()
        self.turned()
        if self.turned_at >= self._upkeep_at:  # before reading: then a message on probation can't hold it up for long
            self._upkeep_at = self.turned_at + UPKEEP_INTERVAL
            self._upkeep()
            self.turned()
        self._wait(found=not self._reads_nothing() and self._read())
        self.turned()

    def _settle(self) -> None:
        """Settle all that is finished. After a failure it stays finished, and is tried again."""
        if count := len(self._finished):
            self._source.settle([self._finished[place] for place in range(count)])
            for _ in range(count):
                self._finished.popleft()
            self._in_work -= count
            self.progressed_at = time.monotonic()

    def _read(self) -> bool:
        batch = self._source.receive(0.0 if self._in_work else IDLE_WAIT)
        if batch:
            if not self._in_work:
                self.progressed_at = time.monotonic()
            self._in_work += len(batch)
            self._deliver(batch)
        return bool(batch)

    def _wait(self, *, found: bool) -> None:
        """Wait for a message to be finished. A thread that has nothing in work has waited in `receive`."""
        if not found and (self._in_work or self._reads_nothing()):
            self._woken.wait(self.BUSY_WAIT if self._in_work else IDLE_WAIT)

    def _upkeep(self) -> None:
        if self._reads_nothing():  # else reading renews
            self._source.renew()

    def _pause(self, error: BrokerUnavailable) -> None:
        if self._failures == 0:
            self._log_unavailable(error)
        self.turned()
        with suppress(BrokerUnavailable):  # if only the results' broker is unavailable, the leases can be kept
            self._source.renew()
        time.sleep(DOWN_PAUSES[min(self._failures, len(DOWN_PAUSES) - 1)])
        self._failures += 1
