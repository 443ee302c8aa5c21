"""Publish the outbox: alerts and superseding decisions, and cases that have to be classified again."""

from math import inf
from typing import Final

import structlog
from redis import Redis
from redis.exceptions import RedisError

from shared.compression import UnreadableText
from shared.events.alert import Alert, AlertKind
from shared.events.cloudevent import to_message
from shared.ledger.case_key import CaseKey
from shared.ledger.case_reader import read_fields
from shared.ledger.message_set import MessageSet
from shared.messaging.errors import BrokerUnavailable
from shared.messaging.message import Message
from shared.messaging.stored_message import StoredMessage
from shared.messaging.topology import RECONCILED, queue_name
from workers.decisioning.stored_evidence import load_stored_evidence
from workers.runtime.source import Source

log = structlog.get_logger()

RECLASSIFY: Final = "reclassify"
"""Reason of an item that names a case whose GetResult answer came after its decision."""


class OutboxRelay:
    """Sends the items of the outbox. Every worker does it.

    An item leaves the outbox in the same step as its message is published if both are on one Redis, else after it: a
    crash in between may publish a message twice, but never loses it.
    """

    def __init__(self, source: Source, redis: "Redis", prefix: str) -> None:
        self._source = source
        self._redis = redis
        self._prefix = prefix
        self._outbox = MessageSet(redis, prefix, "outbox")

    def run(self) -> None:
        """Send every item. Raises `BrokerUnavailable`."""
        try:
            items = self._outbox.due(inf)
            reclassified = [(stored, self._to_reclassify(stored)) for stored in items if stored.reason == RECLASSIFY]
            self._outbox.take([(stored.id, ()) for stored, message in reclassified if message is None])
        except RedisError as error:
            raise BrokerUnavailable(type(error).__name__) from error
        to_classify = [(stored.id, message) for stored, message in reclassified if message is not None]
        results = [stored for stored in items if stored.reason != RECLASSIFY]
        if to_classify:
            self._source.release(self._outbox, to_classify, results=False)
        if results:
            leaving = [(item.id, self._result(item)) for item in results]
            published = self._source.release(self._outbox, leaving, results=True)
            for item in results:  # after publishing: an unreachable results broker is tried again and again
                if item.id in published:
                    _log_published(item)

    def _to_reclassify(self, stored: StoredMessage) -> Message | None:
        """The message for the classify stage. None when the case holds no GetResult answer that can be classified."""
        case = CaseKey(stored.account, stored.biz_id)
        fields = read_fields(self._redis, self._prefix, case)
        try:
            evidence = load_stored_evidence(case, fields)
        except UnreadableText:  # damaged; the other items of the outbox must go out
            evidence = None
        useful = evidence is not None and evidence.reconciled.result is not None
        log.info("case.reloaded", account=stored.account, biz_id=stored.biz_id, useful=useful)
        return evidence.envelope.to_message(queue_name(self._prefix, RECONCILED)) if evidence and useful else None

    def _result(self, stored: StoredMessage) -> Message:
        """The item's message. Items that a Lua script has written hold only the fields of an alert."""
        if stored.message is not None:
            return stored.message
        alert = Alert.of(
            AlertKind(stored.reason), stored.account, stored.at, stored.biz_id or None, cause=stored.detail or None
        )
        return to_message(alert, self._prefix)


def _log_published(stored: StoredMessage) -> None:
    event = "decision.superseded" if stored.reason in {"superseding", "superseded"} else "alert.raised"
    log.warning(event, kind=stored.reason, account=stored.account, biz_id=stored.biz_id, cause=stored.detail)
