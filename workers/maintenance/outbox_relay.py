"""Publish the outbox: alerts and superseding decisions, and cases that have to be classified again."""

from collections.abc import Sequence
from dataclasses import replace
from math import inf
from typing import Final

import structlog
from redis import Redis
from redis.exceptions import ResponseError

from shared.compression import UnreadableText
from shared.events.alert import Alert, AlertKind
from shared.events.cloudevent import to_message
from shared.ledger.case_key import CaseKey
from shared.ledger.case_reader import read_fields
from shared.ledger.message_set import MessageSet
from shared.messaging.message import Message
from shared.messaging.stored_message import StoredMessage
from shared.messaging.topology import RECONCILED, queue_name
from shared.redis_servers.refusals import refusal_code
from workers.decisioning.stored_evidence import load_stored_evidence
from workers.maintenance.releasing import Leaving, Releaser, readable, reporting
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
        self._redis = redis
        self._prefix = prefix
        self._outbox = MessageSet(redis, prefix, "outbox")
        self._releaser = Releaser(source, self._outbox, prefix)

    def run(self) -> None:
        """Send every item. Raises `BrokerUnavailable`."""
        with reporting():
            items = readable(self._outbox, self._outbox.due(inf))
            reclassified, results = self._messages(items)
        self._releaser.release(reclassified, results=False)
        for item in self._releaser.release(results, results=True):
            _log_published(item)  # after publishing: an unreachable results broker is tried again and again

    def _messages(self, items: Sequence[StoredMessage]) -> tuple[Leaving, Leaving]:
        """The messages for the classify stage, and the results. An item that makes neither becomes a dead letter."""
        reclassified, results = list[tuple[StoredMessage, Message]](), list[tuple[StoredMessage, Message]]()
        for stored in items:
            try:
                if stored.reason != RECLASSIFY:
                    results.append((stored, self._result(stored)))
                elif (message := self._to_reclassify(stored)) is not None:
                    reclassified.append((stored, message))
                else:
                    self._outbox.take([(stored.id, ())])
            except (ValueError, TypeError, LookupError, ResponseError) as error:  # of a newer version, or damaged
                self._bury(stored, error)
        return reclassified, results

    def _bury(self, stored: StoredMessage, error: Exception) -> None:
        if isinstance(error, ResponseError) and not refusal_code(error):
            raise error
        log.error("item.undecodable", message_set="outbox", id=stored.id, detail=type(error).__name__)
        self._outbox.bury(replace(stored, reason="undecodable", detail=f"no event: {type(error).__name__}"))

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
