"""The outbox: what scripts have decided must go out, or be looked at again, is sent by whichever worker comes first."""

from math import inf
from typing import Final, cast

import structlog
from redis import Redis
from redis.exceptions import RedisError

from shared.events.alert import Alert, AlertKind
from shared.events.cloudevent import to_post
from shared.ledger.case_key import CaseKey, case_key
from shared.ledger.message_set import Shelf
from shared.messaging.message import Post
from shared.messaging.stored_message import Parked
from shared.messaging.topology import RECONCILED, queue_name
from workers.decisioning.stored_evidence import FIELDS, recall
from workers.runtime.source import Source, SourceDown

log = structlog.get_logger()

RECALL: Final = "recall"
"""The reason of an item that names a case, whose evidence came after its decision."""


class Outbox:
    """Items leave it together with their message where both are on one Redis, else after it."""

    def __init__(self, source: Source, redis: "Redis", prefix: str) -> None:
        self._source = source
        self._redis = redis
        self._prefix = prefix
        self._shelf = Shelf(redis, prefix, "outbox")

    def empty(self) -> None:
        """Send what lies there; raises `SourceDown`."""
        try:
            items = self._shelf.due(inf)
            recalls = [(parked, self._recalled(parked)) for parked in items if parked.reason == RECALL]
            self._shelf.take([(parked.id, ()) for parked, post in recalls if post is None])
        except RedisError as error:
            raise SourceDown(type(error).__name__) from error
        inner = [(parked.id, post) for parked, post in recalls if post is not None]
        leaving = [parked for parked in items if parked.reason != RECALL]
        if inner:
            self._source.release(self._shelf, inner, results=False)
        if leaving:
            self._source.release(self._shelf, [(item.id, self._result(item)) for item in leaving], results=True)
            for item in leaving:  # once it is out: while the results' broker is away it is tried again and again
                _tell(item)

    def _recalled(self, parked: Parked) -> Post | None:
        """The message that has the case classified once more; None when there is nothing better to classify."""
        case = CaseKey(parked.account, parked.biz_id)
        values = cast("list[bytes | None]", self._redis.hmget(case_key(self._prefix, case), FIELDS))
        fields = {name: value for name, value in zip(FIELDS, values, strict=True) if value is not None}
        recalled = recall(case, fields)
        useful = recalled is not None and recalled.reconciled.result is not None
        log.info("case recalled", account=parked.account, biz_id=parked.biz_id, useful=useful)
        return recalled.envelope.post(queue_name(self._prefix, RECONCILED)) if recalled and useful else None

    def _result(self, parked: Parked) -> Post:
        """As it was written: whole, or by a script as an alert's facts alone."""
        if parked.post is not None:
            return parked.post
        alert = Alert.of(
            AlertKind(parked.reason), parked.account, parked.at, parked.biz_id or None, cause=parked.detail or None
        )
        return to_post(alert, self._prefix)


def _tell(parked: Parked) -> None:
    event = "decision superseded" if parked.reason in {"superseding", "superseded"} else "alert"
    log.warning(event, kind=parked.reason, account=parked.account, biz_id=parked.biz_id, cause=parked.detail)
