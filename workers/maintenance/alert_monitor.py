"""Check the pipeline against the alert rules, and put the alerts that fire into the outbox."""

from collections import Counter
from collections.abc import Callable, Sequence
from itertools import islice
from math import inf
from typing import Final

import structlog
from redis import Redis
from redis.exceptions import OutOfMemoryError, RedisError

from shared.events.alert import Alert, AlertKind
from shared.events.cloudevent import NO_ACCOUNT, to_message
from shared.ledger.case_key import COUNTER_SECONDS, message_set_keys
from shared.ledger.counters import read_counters
from shared.ledger.heartbeats import Heartbeats
from shared.ledger.message_set import SCRIPTS, MessageSet
from shared.messaging.stored_message import StoredMessage
from shared.messaging.topology import INNER_QUEUES, queue_name
from shared.redis_servers.refusals import refusal_code
from workers.maintenance.alert_rules import AlertLimits, Measurements, alerts_for
from workers.maintenance.ledger_epoch import LedgerEpoch
from workers.runtime.full_ledger import read_memory
from workers.runtime.source import Source

log = structlog.get_logger()

INTERVAL: Final = 5.0
"""Seconds between two checks, over all workers."""
LASTING: Final = {AlertKind.DEAD_LETTERS_EXPIRING: 86_400.0}
"""Seconds between two alerts of a kind that may last for days. Other kinds: the window."""
MAX_CAUSES: Final = 1000
"""Most dead letters whose stage and reason are counted for an alert."""


class AlertMonitor:
    """Checks the alert rules, one worker at a time. The same alert is raised once in a window, by whichever worker."""

    def __init__(
        self,
        source: Source,
        redis: "Redis",
        prefix: str,
        accounts: Sequence[str],
        limits: AlertLimits,
        clock: Callable[[], float],
    ) -> None:
        """`accounts`: names of the accounts to check. `clock` returns Unix seconds."""
        self._source = source
        self._redis = redis
        self._prefix = prefix
        self._accounts = accounts
        self._limits = limits
        self._clock = clock
        self._dead = MessageSet(redis, prefix, "dead")
        self._raise = redis.register_script((SCRIPTS / "raise_alert.lua").read_text())
        self._heartbeats = Heartbeats(redis, prefix)
        self._epoch = LedgerEpoch(redis, prefix)
        self._checked_at = -inf

    def run(self) -> None:
        """Check, if `INTERVAL` has passed and no other worker has checked since. Raises `BrokerUnavailable`."""
        now = self._clock()
        if 0 <= now - self._checked_at < INTERVAL:
            return
        self._checked_at = now
        try:
            if self._claim_check():
                self._raise_all(now)
        except RedisError as error:
            if refusal_code(error):
                raise
            log.warning("ledger.unavailable", error=type(error).__name__)

    def _raise_all(self, now: float) -> None:
        if self._epoch.is_lost():
            self._put(Alert.of(AlertKind.LEDGER_LOST, None, now), now)
        for alert in alerts_for(self._measure(now), self._limits):
            self._put(alert, now)

    def _claim_check(self) -> bool:
        try:
            return bool(self._redis.set(f"{self._prefix}:watch", "1", nx=True, px=int(INTERVAL * 1000)))
        except OutOfMemoryError:  # then every worker checks; the script still raises an alert once
            return True

    def _measure(self, now: float) -> Measurements:
        window = self._limits.window
        dead = self._dead.count(now - window, inf)
        counters = read_counters(self._redis, self._prefix, [*self._accounts, NO_ACCOUNT], now, window)
        refused = counters.pop(NO_ACCOUNT)["refused"]
        workers = self._heartbeats.read()
        return Measurements(
            at=now,
            counters=counters,
            dead_letters=dead,
            causes=self._causes(now - window) if dead > self._limits.dead_letters else Counter(),
            refused=refused,
            oldest_dead_at=self._dead.oldest(),
            oldest_at=self._source.oldest([queue_name(self._prefix, queue) for queue in INNER_QUEUES]),
            memory=read_memory(self._redis),
            skews={f"{seen.heartbeat.name}, pid {seen.heartbeat.pid}": seen.heartbeat.skew_seconds for seen in workers},
        )

    def _causes(self, since: float) -> Counter[str]:
        dead_letters = islice(self._dead.between(since, inf), MAX_CAUSES)
        return Counter(f"{stored.stage}.{stored.reason}" for stored in dead_letters)

    def _put(self, alert: Alert, at: float) -> None:
        """Put an alert into the outbox, with a mark that stops the same alert until its window has passed."""
        item = StoredMessage(
            id=alert.id,
            stage="publish",
            reason=alert.kind,
            detail=", ".join(f"{name}={value}" for name, value in alert.detail.items()),
            at=at,
            account=alert.account or "",
            message=to_message(alert, self._prefix),
        )
        raised = f"{self._prefix}:raised:{alert.kind}:{{{alert.account or NO_ACCOUNT}}}"
        keys = (raised, *message_set_keys(self._prefix, "outbox"))
        mark_ttl_ms = int(LASTING.get(alert.kind, self._limits.window + COUNTER_SECONDS) * 1000)
        self._raise(keys=keys, args=(mark_ttl_ms, repr(at), item.id, item.dump()))
