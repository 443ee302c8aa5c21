import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from logging import getLogger

from redis import Redis

from shared.streams.deliveries import Deliveries
from shared.streams.delivery import CHUNK, Delivery
from shared.streams.member import Member
from shared.streams.options import Options
from shared.streams.timer import Timer

_log = getLogger(__name__)


class Inbox:
    """What one consumer has read: takes new entries, keeps their leases, takes over what others left.

    After a connection error each method may be called again: nothing is forgotten that was not sent.
    """

    def __init__(self, redis: Redis, options: Options, deliveries: Deliveries) -> None:
        self.pid = os.getpid()
        self.member = Member(redis, options)
        self.deliveries = deliveries
        self.ready: deque[Delivery] = deque()
        self._batch_size = options.batch_size
        self._queues_read: set[str] = set()
        self._reply_lost = False
        self._rotation = 0
        lease = options.lease_seconds
        self._silence_seconds = 10 * lease
        self._renewals = Timer(lease / 3)
        self._sweeps = Timer(max(0.2, min(1.0, lease / 4)))
        self._retirements = Timer(2 * lease)

    def flush(self) -> None:
        """Send the noted settlements. Raises a connection error, and keeps them noted, when that fails."""
        acked, returned = _taken(self.deliveries.acked), _taken(self.deliveries.returned)
        try:
            self.member.settle(acked, returned)
        except BaseException:
            self.deliveries.acked.extend(acked)
            self.deliveries.returned.extend(returned)
            raise

    def renew(self) -> None:
        """Begin the leases of all that is held anew."""
        lost = self.member.renew(self.deliveries.held())
        for delivery in lost:
            delivery.lost = True
        if lost:
            _log.warning("lost the lease of %d messages", len(lost))
        self._renewals.done()

    def renew_when_due(self) -> None:
        """The same every third of a lease."""
        if self._renewals.due:
            self.renew()

    def upkeep(self, queues: Sequence[str]) -> None:
        """Do what is due: settle, renew, look for lost replies, take over, remove dead members."""
        self.flush()
        self.renew_when_due()
        if self._reply_lost:
            self._recover()
        if queues and self._sweeps.due:
            self._sweep(queues)
        if queues and self._retirements.due:
            for queue in queues:
                self.member.retire(queue, self._silence_seconds)
            self._retirements.done()

    def fetch(self, queues: Sequence[str], wait: float) -> None:
        """Read new entries into `ready`, as many as the prefetch count allows, waiting up to `wait` seconds."""
        chosen, count = self._shares(queues)
        if chosen:
            self._queues_read.update(chosen)
            with self._noting_lost_replies():
                self._take(self.member.read(chosen, count, max(1, int(wait * 1000)) if wait > 0 else None))

    def fetch_one(self, queue: str) -> Delivery | None:
        """A single entry of the queue, new or left by others, at once or not at all."""
        self._queues_read.add(queue)
        for delivery in self.ready:
            if delivery.queue == queue:
                self.ready.remove(delivery)
                return delivery
        with self._noting_lost_replies():
            found = self.member.read([queue], 1)
            if not found:
                found, _ = self.member.take_over(queue, 1, self.deliveries.held_ids(queue))
        self.deliveries.hold(found)
        return found[0] if found else None

    def purge(self, queue: str) -> int:
        """Delete what nobody has read yet; returns how many that were."""
        self._queues_read.add(queue)
        purged = 0
        while batch := self.member.read([queue], CHUNK):
            self.member.settle(batch, [])
            purged += len(batch)
        return purged

    def leave(self) -> None:
        """Hand everything back, and take our name off the groups."""
        if self._reply_lost:
            self._recover()
        self.deliveries.restore_unacked()
        for queue in self._queues_read:
            self.member.retire(queue, only=self.member.name)

    def _sweep(self, queues: Sequence[str]) -> None:
        """Take over what others left, as far as there is room; none while one of it is on trial."""
        more = False
        for queue in queues:
            room = self.deliveries.room(self._batch_size)
            if not room or any(delivery.on_probation for delivery in self.deliveries.held()):
                return
            with self._noting_lost_replies():
                taken, left = self.member.take_over(queue, room, self.deliveries.held_ids(queue))
            self._take(taken)
            more = more or left
        if not more:
            self._sweeps.done()

    @contextmanager
    def _noting_lost_replies(self) -> Iterator[None]:
        try:
            yield
        except BaseException:  # a signal's too
            self._reply_lost = True  # what the reply brought is ours, and waits in the pending list
            raise

    def _recover(self) -> None:
        for queue in self._queues_read:
            self._take(self.member.recover(queue, self.deliveries.held_ids(queue)))
        self._reply_lost = False

    def _take(self, deliveries: Iterable[Delivery]) -> None:
        self.deliveries.hold(deliveries)
        self.ready.extend(deliveries)

    def _shares(self, queues: Sequence[str]) -> tuple[Sequence[str], int]:
        """The queues to read, and how many entries of each: COUNT is per stream, the prefetch count is for all."""
        room = self.deliveries.room(self._batch_size * len(queues))
        if room >= len(queues):
            return queues, min(self._batch_size, room // len(queues)) if queues else 0
        self._rotation += 1
        start = self._rotation % len(queues)
        return [*queues[start:], *queues[:start]][:room], 1


def _taken(noted: deque[Delivery]) -> list[Delivery]:
    """Everything noted so far, without a lock against threads that note more."""
    return [noted.popleft() for _ in range(len(noted))]
