"""Replace a decision: the new decision and the messages that announce it are written in one step."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from shared.compression import compress
from shared.events.alert import Alert
from shared.events.cloudevent import to_message
from shared.events.decision import Decision
from shared.ledger.scripts import load_script
from shared.messaging.stored_message import StoredMessage

SCRIPT: Final = load_script("supersede")
"""Lua. Its keys are the case, the outbox and the outbox's items; `Superseding.arguments` makes its arguments."""


@dataclass(frozen=True, slots=True)
class Superseding:
    """Replace the decision `old` by `new`, if `old` is still in force."""

    current: bytes = field(repr=False)
    """`old` as it is stored in the ledger, byte for byte."""
    old: Decision
    new: Decision
    provisional: bool
    """Whether better evidence may supersede `new` later."""
    by: str
    """Who decided again: an operator, or the workers."""
    note: str
    """Why."""
    alerts: tuple[Alert, ...] = ()
    """Alerts to publish with `new`."""
    old_alerts: tuple[Alert, ...] = ()
    """Alerts to publish with `old`, when `old` is not published yet."""

    @property
    def summary(self) -> str:
        """The outcomes, the revision and who decided, for a log line. No personal data."""
        return f"{self.old.outcome} -> {self.new.outcome}, revision {self.new.revision}, by {self.by}"

    def arguments(self, prefix: str, ttl_ms: int) -> list[str | bytes | int]:
        """The arguments of `SCRIPT`. `ttl_ms`: the case's TTL."""
        old_items = self._items(prefix, self.old, self.old_alerts, "superseded")
        new_items = self._items(prefix, self.new, self.alerts, "superseding")
        return [
            self.current,
            self.old.revision,
            compress(self.new.model_dump_json().encode()),
            self.new.id,
            "1" if self.provisional else "",
            json.dumps({"by": self.by, "note": self.note}, ensure_ascii=False),
            ttl_ms,
            repr(self._at),
            len(old_items),
            *(argument for item in (*old_items, *new_items) for argument in (item.id, item.dump())),
        ]

    @property
    def _at(self) -> float:
        return datetime.fromisoformat(self.new.decided_at).timestamp()

    def _items(self, prefix: str, decision: Decision, alerts: Sequence[Alert], reason: str) -> list[StoredMessage]:
        messages: list[Decision | Alert] = [decision, *alerts]
        return [
            StoredMessage(
                id=outbox_item_id(decision, index),
                stage="publish",
                reason=reason if index == 0 else "alert",
                detail=self.summary,
                at=self._at,
                account=decision.account,
                biz_id=decision.biz_id,
                message=to_message(message, prefix),
            )
            for index, message in enumerate(messages)
        ]


def outbox_item_id(decision: Decision, index: int = 0) -> str:
    """The id of a decision's item in the outbox. `index` 1, 2, ...: of the alerts that are published with it."""
    return f"message:{decision.account}:{decision.biz_id}:{decision.revision:04}:{index}"
