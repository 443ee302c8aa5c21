"""A decision that takes another's place, never silently: the new one and what tells of it are written in one step."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final

from shared.events.alert import Alert
from shared.events.cloudevent import to_message
from shared.events.decision import Decision
from shared.messaging.stored_message import StoredMessage

SCRIPT: Final = Path(__file__).parent / "lua" / "supersede.lua"


@dataclass(frozen=True, slots=True)
class Superseding:
    """The decision `new` in the place of `old`, if that one still stands."""

    current: bytes = field(repr=False)
    """`old`, byte for byte as the ledger holds it."""
    old: Decision
    new: Decision
    provisional: bool
    """Whether better evidence may supersede `new` in its turn."""
    by: str
    note: str
    alerts: tuple[Alert, ...] = ()
    """What a person has to know about beside `new`."""
    old_alerts: tuple[Alert, ...] = ()
    """The same of `old`, for when it is not out yet."""

    @property
    def in_short(self) -> str:
        """For a log line."""
        return f"{self.old.outcome} -> {self.new.outcome}, revision {self.new.revision}, by {self.by}"

    def arguments(self, prefix: str, ttl_ms: int) -> list[str | bytes | int]:
        """The arguments of the script; its keys are the case, the outbox and the outbox's items."""
        before = self._items(prefix, self.old, self.old_alerts, "superseded")
        after = self._items(prefix, self.new, self.alerts, "superseding")
        return [
            self.current,
            self.old.revision,
            self.new.model_dump_json(),
            self.new.id,
            "1" if self.provisional else "",
            json.dumps({"by": self.by, "note": self.note}, ensure_ascii=False),
            ttl_ms,
            repr(self._at),
            len(before),
            *(word for item in (*before, *after) for word in (item.id, item.dump())),
        ]

    @property
    def _at(self) -> float:
        return datetime.fromisoformat(self.new.decided_at).timestamp()

    def _items(self, prefix: str, decision: Decision, alerts: Sequence[Alert], reason: str) -> list[StoredMessage]:
        messages: list[Decision | Alert] = [decision, *alerts]
        return [
            StoredMessage(
                id=item_id(decision, place),
                stage="publish",
                reason=reason if place == 0 else "alert",
                detail=self.in_short,
                at=self._at,
                account=decision.account,
                biz_id=decision.biz_id,
                message=to_message(message, prefix),
            )
            for place, message in enumerate(messages)
        ]


def item_id(decision: Decision, place: int = 0) -> str:
    """Under which a decision lies in the outbox, and behind it at `place` 1, 2, ... its alerts."""
    return f"message:{decision.account}:{decision.biz_id}:{decision.revision:04}:{place}"
