from collections.abc import Callable

from redis import Redis
from redis.exceptions import RedisError

from shared.ledger.message_set import MessageSet
from shared.messaging.errors import BrokerUnavailable
from workers.runtime.source import Source


class DelayedScheduler:
    """Moves delayed messages that are due to their queues. Every worker does it; one script gives each item to one."""

    def __init__(self, source: Source, redis: "Redis", prefix: str, clock: Callable[[], float]) -> None:
        """`clock` returns Unix seconds."""
        self._source = source
        self._delayed = MessageSet(redis, prefix, "delayed")
        self._clock = clock

    def run(self) -> None:
        """Move the messages that are due now. Raises `BrokerUnavailable`."""
        try:
            items = self._delayed.due(self._clock())
        except RedisError as error:
            raise BrokerUnavailable(type(error).__name__) from error
        due = [(stored.id, stored.message) for stored in items if stored.message is not None]
        if due:
            self._source.release(self._delayed, due, results=False)
