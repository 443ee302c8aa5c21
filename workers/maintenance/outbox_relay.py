"""The outbox: what scripts have decided must go out, or be looked at again, is sent by whichever worker comes first."""

from math import inf
from typing import Final, cast

import structlog
from redis import Redis
from redis.exceptions import RedisError

from shared.events.alert import Alert, AlertKind
from shared.events.cloudevent import to_message
from shared.ledger.case_key import CaseKey, case_key
from shared.ledger.message_set import MessageSet
from shared.messaging.errors import BrokerUnavailable
from shared.messaging.message import Message
from shared.messaging.stored_message import StoredMessage
from shared.messaging.topology import RECONCILED, queue_name
from workers.decisioning.stored_evidence import FIELDS, load_stored_evidence
from workers.runtime.source import Source

log = structlog.get_logger()

RECLASSIFY: Final = "reclassify"
"""The reason of an item that names a case, whose evidence came after its decision."""


class OutboxRelay:
    """Items leave it together with their message where both are on one Redis, else after it."""

    def __init__(self, source: Source, redis: "Redis", prefix: str) -> None:
        self._source = source
        self._redis = redis
        self._prefix = prefix
        self._message_set = MessageSet(redis, prefix, "outbox")

    def empty(self) -> None:
        """Send what lies there; raises `BrokerUnavailable`."""
        try:
            items = self._message_set.due(inf)
            reclassified = [(stored, self._reclassified(stored)) for stored in items if stored.reason == RECLASSIFY]
            self._message_set.take([(stored.id, ()) for stored, message in reclassified if message is None])
        except RedisError as error:
            raise BrokerUnavailable(type(error).__name__) from error
        inner = [(stored.id, message) for stored, message in reclassified if message is not None]
        leaving = [stored for stored in items if stored.reason != RECLASSIFY]
        if inner:
            self._source.release(self._message_set, inner, results=False)
        if leaving:
            self._source.release(self._message_set, [(item.id, self._result(item)) for item in leaving], results=True)
            for item in leaving:  # once it is out: while the results' broker is away it is tried again and again
                _tell(item)

    def _reclassified(self, stored: StoredMessage) -> Message | None:
        """The message that has the case classified once more; None when there is nothing better to classify."""
        case = CaseKey(stored.account, stored.biz_id)
        values = cast("list[bytes | None]", self._redis.hmget(case_key(self._prefix, case), FIELDS))
        fields = {name: value for name, value in zip(FIELDS, values, strict=True) if value is not None}
        stored_evidence = load_stored_evidence(case, fields)
        useful = stored_evidence is not None and stored_evidence.reconciled.result is not None
        log.info("case.reloaded", account=stored.account, biz_id=stored.biz_id, useful=useful)
        return (
            stored_evidence.envelope.to_message(queue_name(self._prefix, RECONCILED))
            if stored_evidence and useful
            else None
        )

    def _result(self, stored: StoredMessage) -> Message:
        """As it was written: whole, or by a script as an alert's facts alone."""
        if stored.message is not None:
            return stored.message
        alert = Alert.of(
            AlertKind(stored.reason), stored.account, stored.at, stored.biz_id or None, cause=stored.detail or None
        )
        return to_message(alert, self._prefix)


def _tell(stored: StoredMessage) -> None:
    event = "decision.superseded" if stored.reason in {"superseding", "superseded"} else "alert.raised"
    log.warning(event, kind=stored.reason, account=stored.account, biz_id=stored.biz_id, cause=stored.detail)
