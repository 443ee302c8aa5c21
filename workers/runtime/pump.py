"""The pump: moves messages between a source and the asyncio loop that works on them."""

import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import ClassVar

import structlog
from redis.exceptions import OutOfMemoryError

from shared.messaging.broker_thread import BrokerThread
from shared.messaging.delivery import Delivery
from shared.messaging.errors import BrokerUnavailable
from workers.runtime.settlement import Settlement
from workers.runtime.source import Source

log = structlog.get_logger()

MANY_IN_WORK = 32
"""With more messages than that in work the pump waits in each turn: those that finish meanwhile are settled together,
with one read."""

FAIL_SECONDS = 2.0
"""Seconds in which a pump that has to end still settles what is finished."""


class Pump(BrokerThread[Settlement]):
    """The thread that owns a worker's broker connection."""

    BUSY_WAIT: ClassVar[float] = 0.005
    """Not spent waiting in the broker: an idle Redis ends a read that waits for 5 ms after 100 ms, and what is finished
    meanwhile would wait with it.
    """

    def __init__(
        self,
        source: Source,
        deliver: Callable[[Sequence[Delivery]], None],
        maintenance: Callable[[], None],
        ended: Callable[[], None],
        paused: Callable[[], bool],
        grace: float,
    ) -> None:
        """`deliver`, `maintenance`, `ended` and `paused` run on this thread.

        `paused`: whether to read no messages now. `grace`: seconds to finish after `stop`.
        """
        super().__init__("pump", source)
        self._worker_source = source
        self._given_back: deque[str] = deque()
        self._deliver_batch = deliver
        self._maintenance = maintenance
        self._ended = ended
        self._paused = paused
        self._grace = grace
        self._stop_at: float | None = None

    def give_back(self, tag: str) -> None:
        """The work on a message has ended without a settlement: hand it back. Callable from any thread."""
        self._given_back.append(tag)
        self.wake()

    def fail(self, error: BaseException) -> None:
        """End within `FAIL_SECONDS` with this failure, and hand back what is in work. Callable from any thread."""
        self._stop_at, self.failure = time.monotonic() + FAIL_SECONDS, error
        self.wake()

    def stop(self) -> None:
        """Read no more, settle what finishes within the grace period, hand back the rest."""
        if self._stop_at is None:  # a second signal does not prolong it
            self._stop_at = time.monotonic() + self._grace
            self.wake()

    def run(self) -> None:
        """Pump until stopped and empty, or until the grace period is over."""
        super().run()
        if self.failure is not None:
            log.error("pump.failed", exc_info=self.failure)
        log.info("pump.stopped", handed_back=self._in_work)
        self._ended()

    def _reads_nothing(self) -> bool:
        return self._stop_at is not None or self._paused()

    def _is_over(self) -> bool:
        return self._stop_at is not None and (self._in_work == 0 or time.monotonic() >= self._stop_at)

    def _deliver(self, batch: Sequence[Delivery]) -> None:
        self._deliver_batch(batch)

    def _wait(self, *, found: bool) -> None:
        if self._in_work > MANY_IN_WORK:
            time.sleep(self.BUSY_WAIT)
        else:
            super()._wait(found=found)

    def _settle(self) -> None:
        super()._settle()
        if count := len(self._given_back):
            self._worker_source.give_back([self._given_back[place] for place in range(count)])
            for _ in range(count):
                self._given_back.popleft()
            self._in_work -= count

    def _upkeep(self) -> None:
        self._maintenance()
        super()._upkeep()

    def _pause(self, error: BrokerUnavailable) -> None:
        super()._pause(error)
        if isinstance(error.__cause__, OutOfMemoryError):  # nothing can be settled: maintenance can free memory
            with suppress(BrokerUnavailable):
                self._maintenance()

    def _log_unavailable(self, error: BrokerUnavailable) -> None:
        log.error("broker.unavailable", error=str(error), in_flight=self._in_work)

    def _log_recovered(self) -> None:
        log.info("broker.recovered", after_failures=self._failures)
