"""Looks at the pipeline now and then, whichever worker comes first, and raises an alert where something is amiss."""

from collections import Counter
from collections.abc import Callable, Sequence
from itertools import islice
from math import inf
from typing import Final

import structlog
from redis import Redis
from redis.exceptions import OutOfMemoryError, RedisError

from shared.events.alert import Alert
from shared.events.cloudevent import NO_ACCOUNT, to_message
from shared.ledger import message_set
from shared.ledger.case_key import COUNTER_SECONDS
from shared.ledger.counters import read_counters
from shared.ledger.message_set import MessageSet
from shared.messaging.stored_message import StoredMessage
from shared.messaging.topology import INNER_QUEUES, queue_name
from workers.maintenance.alert_rules import AlertLimits, Observation, amiss
from workers.runtime.source import Source

log = structlog.get_logger()

INTERVAL: Final = 5.0
"""Seconds from one look to the next, over all workers."""
LOOKED_INTO: Final = 1000
"""Dead letters whose causes are counted."""


class AlertMonitor:
    """One worker's part in it. An alert is raised once in a window, whoever looks and whatever dies."""

    def __init__(
        self,
        source: Source,
        redis: "Redis",
        prefix: str,
        accounts: Sequence[str],
        limits: AlertLimits,
        clock: Callable[[], float],
    ) -> None:
        """`clock`: unix seconds."""
        self._source = source
        self._redis = redis
        self._prefix = prefix
        self._accounts = accounts
        self._limits = limits
        self._clock = clock
        self._dead = MessageSet(redis, prefix, "dead")
        self._raise = redis.register_script((message_set.LUA / "raise_alert.lua").read_text())
        self._looked = -inf

    def look(self) -> None:
        """Look, if it is this worker's turn; raises `BrokerUnavailable`."""
        now = self._clock()
        if 0 <= now - self._looked < INTERVAL:
            return
        self._looked = now
        try:
            if self._takes_turn():
                self._raise_all(now)
        except RedisError as error:
            log.warning("ledger.unavailable", error=type(error).__name__)

    def _raise_all(self, now: float) -> None:
        for alert in amiss(self._observe(now), self._limits):
            self._put(alert, now)

    def _takes_turn(self) -> bool:
        try:
            return bool(self._redis.set(f"{self._prefix}:watch", "1", nx=True, px=int(INTERVAL * 1000)))
        except OutOfMemoryError:  # then everybody looks, and still one raises
            return True

    def _observe(self, now: float) -> Observation:
        window = self._limits.window
        dead = self._dead.count(now - window, inf)
        return Observation(
            at=now,
            counters=read_counters(self._redis, self._prefix, self._accounts, now, window),
            dead=dead,
            causes=self._causes(now - window) if dead > self._limits.dead_letters else Counter(),
            oldest=self._source.oldest([queue_name(self._prefix, queue) for queue in INNER_QUEUES]),
        )

    def _causes(self, since: float) -> Counter[str]:
        letters = islice(self._dead.between(since, inf), LOOKED_INTO)
        return Counter(f"{letter.stage}.{letter.reason}" for letter in letters)

    def _put(self, alert: Alert, at: float) -> None:
        """Into the outbox, together with the mark that keeps it from being raised again for the same events."""
        item = StoredMessage(
            id=alert.id,
            stage="publish",
            reason=alert.kind,
            detail=", ".join(f"{name}={value}" for name, value in alert.detail.items()),
            at=at,
            account=alert.account or "",
            message=to_message(alert, self._prefix),
        )
        outbox = f"{self._prefix}:outbox"
        keys = (f"{self._prefix}:raised:{alert.kind}:{{{alert.account or NO_ACCOUNT}}}", outbox, f"{outbox}:items")
        rest = int((self._limits.window + COUNTER_SECONDS) * 1000)
        self._raise(keys=keys, args=(rest, repr(at), item.id, item.dump()))
