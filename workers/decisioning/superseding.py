"""When a decision may take another's place, and what has to be told then."""

from datetime import datetime

from shared.events.alert import Alert, AlertKind
from shared.events.decision import Decision
from shared.ledger.superseding import Superseding
from workers.decisioning.decision_builder import alerts, provisional

WORKERS = "faceid"
"""Who supersedes a decision when nobody has asked for it."""
EVIDENCE_CAME = "GetResult's answer came"


def is_better(fresh: Decision, old: Decision) -> bool:
    """Whether a decision supersedes one by itself: it rests on GetResult's answer, which that one had to do without."""
    return fresh.reconciled and provisional(old)


def is_other(fresh: Decision, old: Decision) -> bool:
    """Whether they differ in more than when and by which policy they were made."""
    return (fresh.outcome, fresh.reasons, fresh.reconciled) != (old.outcome, old.reasons, old.reconciled)


def supersede(current: bytes, old: Decision, fresh: Decision, *, by: str, note: str) -> Superseding:
    """The decision `fresh` as the next revision of `old`, which is `current` byte for byte in the ledger."""
    follows = {"revision": old.revision + 1, "supersedes": old.id, "received_at": old.received_at}
    new = Decision.model_validate(dict(fresh) | follows)  # a copy would keep the cached id
    return Superseding(
        current=current,
        old=old,
        new=new,
        provisional=provisional(new),
        by=by,
        note=note,
        alerts=(*_changed(old, new, by), *alerts(new)),
        old_alerts=tuple(alerts(old)),
    )


def _changed(old: Decision, new: Decision, by: str) -> list[Alert]:
    """Whoever has acted on the old outcome must know of the new one."""
    if old.outcome == new.outcome:
        return []
    return [
        Alert.of(
            AlertKind.DECISION_SUPERSEDED,
            new.account,
            datetime.fromisoformat(new.decided_at).timestamp(),
            new.biz_id,
            old_outcome=old.outcome,
            new_outcome=new.outcome,
            revision=new.revision,
            by=by,
        )
    ]
