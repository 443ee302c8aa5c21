"""The pump: the one thread that owns the broker connection. It reads batches, settles batches and keeps the leases."""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress

import structlog

from shared.messaging.errors import BrokerUnavailable
from workers.runtime.delivery import Delivery
from workers.runtime.settlement import Settlement
from workers.runtime.source import Source

log = structlog.get_logger()

IDLE_WAIT = 0.25
"""Seconds to wait for messages while nothing is in work."""
BUSY_WAIT = 0.005
"""Seconds to rest while there is work, and nothing to settle or to read.

Not spent waiting in the broker: a Redis that has nothing else to do ends a read that waits for 5 ms after 100, and what
is finished meanwhile would wait with it.
"""
CROWD = 32
"""With more than that in work the pump rests each time: what finishes meanwhile is settled together, with one read."""
MAINTENANCE_INTERVAL = 0.2
DOWN_WAITS = (0.05, 0.1, 0.2, 0.5, 1.0)
"""Seconds of rest after the first, second, ... failed exchange with the broker; the last one repeats."""


class Pump(threading.Thread):
    """Moves messages between a source and the loop that works on them, until it is told to stop."""

    def __init__(
        self,
        source: Source,
        deliver: Callable[[Sequence[Delivery]], None],
        maintenance: Callable[[], None],
        ended: Callable[[], None],
        grace: float,
    ) -> None:
        """`deliver`, `maintenance` and `ended` run on this thread; `grace`: seconds to finish after `stop`."""
        super().__init__(name="pump", daemon=True)
        self._source = source
        self._deliver = deliver
        self._maintenance = maintenance
        self._ended = ended
        self._grace = grace
        self.failure: BaseException | None = None
        """Why the pump ended, if not because it was told to."""
        self._finished: deque[Settlement] = deque()
        self._woken = threading.Event()
        self._held = 0
        self._stop_at: float | None = None
        self._failures = 0
        self._maintenance_at = 0.0

    def finish(self, settlement: Settlement) -> None:
        """An item is done; to be settled with the next batch. Callable from any thread."""
        self._finished.append(settlement)

    def wake(self) -> None:
        """Settle now what is finished. Callable from any thread; once for many items is best."""
        self._woken.set()

    def stop(self) -> None:
        """Read no more, settle what gets done within the grace period, hand back the rest."""
        if self._stop_at is None:  # a second signal does not prolong it
            self._stop_at = time.monotonic() + self._grace
            self.wake()

    def run(self) -> None:
        """Pump until stopped and empty, or until the grace period is over."""
        try:
            while not self._over():
                self._turn_or_rest()
        except BaseException as error:  # the process must not live on with a dead pump
            self.failure = error
            log.exception("pump.failed", exc_info=error)
        finally:
            self._source.close()
            log.info("pump.stopped", handed_back=self._held)
            self._ended()

    def _turn_or_rest(self) -> None:
        try:
            self._turn()
        except BrokerUnavailable as error:
            self._rest(error)
        else:
            self._note_recovery()

    def _over(self) -> bool:
        if self._stop_at is None:
            return False
        return (self._held == 0 and not self._finished) or time.monotonic() >= self._stop_at

    def _turn(self) -> None:
        """Settle, read, and do the maintenance: each in one batch."""
        self._woken.clear()
        self._settle()
        found = self._stop_at is None and self._read()
        self._pause(found)
        if time.monotonic() >= self._maintenance_at:
            self._maintenance_at = time.monotonic() + MAINTENANCE_INTERVAL
            self._maintenance()
            if self._stop_at is not None:  # else receiving renews
                self._source.renew()

    def _pause(self, found: bool) -> None:
        if self._held > CROWD:
            time.sleep(BUSY_WAIT)
        elif self._held and not found:
            self._woken.wait(BUSY_WAIT)

    def _read(self) -> bool:
        batch = self._source.receive(0 if self._held else IDLE_WAIT)
        if batch:
            self._held += len(batch)
            self._deliver(batch)
        return bool(batch)

    def _settle(self) -> None:
        """Settle all that is finished; on a failure it stays finished, and is tried again."""
        count = len(self._finished)
        if count:
            self._source.settle([self._finished[place] for place in range(count)])
            for _ in range(count):
                self._finished.popleft()
            self._held -= count

    def _rest(self, error: BrokerUnavailable) -> None:
        if self._failures == 0:
            log.error("broker.unavailable", error=str(error), in_flight=self._held)
        with suppress(BrokerUnavailable):  # it may be the results' broker that is away: what is held is still ours
            self._source.renew()
        time.sleep(DOWN_WAITS[min(self._failures, len(DOWN_WAITS) - 1)])
        self._failures += 1

    def _note_recovery(self) -> None:
        if self._failures:
            log.info("broker.recovered", after_failures=self._failures)
            self._failures = 0
