import structlog
from redis import Redis
from redis.exceptions import RedisError

from shared.ledger.message_set import MessageSet
from shared.messaging.errors import BrokerUnavailable

log = structlog.get_logger()


class UnverifiedTrimmer:
    """Drops the oldest unverified callbacks above a cap, because anybody can send them."""

    def __init__(self, redis: "Redis", prefix: str, cap: int) -> None:
        """`cap`: most unverified callbacks that are kept."""
        self._unverified = MessageSet(redis, prefix, "unverified")
        self._cap = cap

    def run(self) -> None:
        """Drop what is above the cap. Raises `BrokerUnavailable`."""
        try:
            count = self._unverified.trim(self._cap)
        except RedisError as error:
            raise BrokerUnavailable(type(error).__name__) from error
        if count:
            log.warning("unverified.trimmed", count=count)
