from collections.abc import Callable

from redis import Redis

from shared.ledger.message_set import MessageSet
from workers.maintenance.releasing import Releaser, readable, reporting
from workers.runtime.source import Source


class DelayedScheduler:
    """Moves delayed messages that are due to their queues. Every worker does it; one script gives each item to one."""

    def __init__(self, source: Source, redis: "Redis", prefix: str, clock: Callable[[], float]) -> None:
        """`clock` returns Unix seconds."""
        self._delayed = MessageSet(redis, prefix, "delayed")
        self._releaser = Releaser(source, self._delayed, prefix)
        self._clock = clock

    def run(self) -> None:
        """Move the messages that are due now. Raises `BrokerUnavailable`."""
        with reporting():
            items = readable(self._delayed, self._delayed.due(self._clock()))
        due = [(stored, stored.message) for stored in items if stored.message is not None]
        self._releaser.release(due, results=False)
