import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from logging import getLogger
from time import monotonic

from redis import Redis

from shared.streams.consumer import GroupConsumer
from shared.streams.deliveries import Deliveries
from shared.streams.delivery import CHUNK, Delivery
from shared.streams.options import Options

_log = getLogger(__name__)


class StreamReader:
    """Reads the entries of one consumer, renews their leases, and takes over entries that other consumers left.

    Every method that sends commands raises a connection error when Redis is unreachable. It may then be called again:
    settlements that were not sent are kept.
    """

    def __init__(self, redis: Redis, options: Options, deliveries: Deliveries) -> None:
        self.pid = os.getpid()
        self.consumer = GroupConsumer(redis, options)
        self.deliveries = deliveries
        self.ready: deque[Delivery] = deque()
        """Deliveries that were read and not yet handed to the caller."""
        self._batch_size = options.batch_size
        self._count_closed = options.count_closed
        self._queues_read: set[str] = set()
        self._reply_lost = False
        self._rotation = 0
        lease = options.lease_seconds
        self._idle_limit = 10 * lease
        self._renewal = _Timer(lease / 3)
        self._takeover = _Timer(max(0.2, min(1.0, lease / 4)))
        self._removal = _Timer(2 * lease)

    def flush(self) -> None:
        """Send the recorded settlements. They stay recorded when that fails."""
        acked, returned = _drained(self.deliveries.acked), _drained(self.deliveries.returned)
        try:
            self.consumer.settle(acked, returned)
        except BaseException:
            self.deliveries.acked.extend(acked)
            self.deliveries.returned.extend(returned)
            raise

    def renew(self) -> None:
        """Renew the leases of all held deliveries, and mark those whose lease was lost."""
        lost = self.consumer.renew(self.deliveries.held())
        for delivery in lost:
            delivery.lease_lost = True
        if lost:
            _log.warning("lost the lease of %d messages", len(lost))
        self._renewal.restart()

    def renew_when_due(self) -> None:
        """Renew the leases if a third of a lease has passed since the last time."""
        if self._renewal.due:
            self.renew()

    def upkeep(self, queues: Sequence[str]) -> None:
        """Do what is due: send settlements, renew leases, recover lost replies, take over, remove dead consumers."""
        self.flush()
        self.renew_when_due()
        if self._reply_lost:
            self._recover()
        if queues and self._takeover.due:
            self._take_over(queues)
        if queues and self._removal.due:
            for queue in queues:
                self.consumer.remove_idle_consumers(queue, self._idle_limit)
            self._removal.restart()

    def fetch(self, queues: Sequence[str], wait: float) -> None:
        """Read new entries into `ready`, as many as the prefetch count allows. Waits up to `wait` seconds for one."""
        chosen, count = self._plan_read(queues)
        if chosen:
            self._queues_read.update(chosen)
            with self._noting_lost_replies():
                self._add(self.consumer.read(chosen, count, max(1, int(wait * 1000)) if wait > 0 else None))

    def fetch_one(self, queue: str) -> Delivery | None:
        """One entry of the queue, new or left by another consumer. None when there is none; does not wait."""
        self._queues_read.add(queue)
        for delivery in self.ready:
            if delivery.queue == queue:
                self.ready.remove(delivery)
                return delivery
        with self._noting_lost_replies():
            found = self.consumer.read([queue], 1)
            if not found:
                found, _ = self.consumer.take_over(queue, 1, self.deliveries.held_ids(queue))
        self.deliveries.hold(found)
        return found[0] if found else None

    def purge(self, queue: str) -> int:
        """Delete the entries that no consumer has read yet. Returns how many there were."""
        self._queues_read.add(queue)
        purged = 0
        while batch := self.consumer.read([queue], CHUNK):
            self.consumer.settle(batch, [])
            purged += len(batch)
        return purged

    def leave_groups(self) -> None:
        """Hand back every held delivery and remove this consumer from the groups."""
        if self._reply_lost:
            self._recover()
        for delivery in self.deliveries.held():
            delivery.attempted = self._count_closed
        self.deliveries.restore_unacked()
        for queue in self._queues_read:
            self.consumer.remove_idle_consumers(queue, only=self.consumer.name)

    def _take_over(self, queues: Sequence[str]) -> None:
        """Take over entries that others left, as many as the prefetch count allows; none during a probation."""
        more = False
        for queue in queues:
            capacity = self.deliveries.capacity(self._batch_size)
            if not capacity or any(delivery.on_probation for delivery in self.deliveries.held()):
                return
            with self._noting_lost_replies():
                taken, left = self.consumer.take_over(queue, capacity, self.deliveries.held_ids(queue))
            self._add(taken)
            more = more or left
        if not more:
            self._takeover.restart()

    @contextmanager
    def _noting_lost_replies(self) -> Iterator[None]:
        try:
            yield
        except BaseException:  # also an exception that a signal handler raises
            self._reply_lost = True  # Redis may have assigned entries to this consumer: `_recover` looks for them
            raise

    def _recover(self) -> None:
        for queue in self._queues_read:
            self._add(self.consumer.recover(queue, self.deliveries.held_ids(queue)))
        self._reply_lost = False

    def _add(self, deliveries: Iterable[Delivery]) -> None:
        self.deliveries.hold(deliveries)
        self.ready.extend(deliveries)

    def _plan_read(self, queues: Sequence[str]) -> tuple[Sequence[str], int]:
        """The queues to read, and how many entries of each.

        XREADGROUP's COUNT is per stream, the prefetch count is for all streams. When it is smaller than the number of
        queues, some queues are left out, different ones each time.
        """
        capacity = self.deliveries.capacity(self._batch_size * len(queues))
        if capacity >= len(queues):
            return queues, min(self._batch_size, capacity // len(queues)) if queues else 0
        self._rotation += 1
        start = self._rotation % len(queues)
        return [*queues[start:], *queues[:start]][:capacity], 1


class _Timer:
    """Is due at first, and again `seconds` after each `restart`."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._due_at = 0.0

    @property
    def due(self) -> bool:
        return monotonic() >= self._due_at

    def restart(self) -> None:
        self._due_at = monotonic() + self._seconds


def _drained(recorded: deque[Delivery]) -> list[Delivery]:
    """Remove and return all deliveries. Needs no lock: other threads only append."""
    return [recorded.popleft() for _ in range(len(recorded))]
