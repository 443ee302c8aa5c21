"""The totals since the start. They include sessions that were forgotten."""

from collections import Counter
from dataclasses import dataclass, field, fields

from deploy.simulator.model.sessions import CallbackAttempt, Session


@dataclass(slots=True)
class Stats:
    """Counts since the start. The field names are the JSON keys of `GET /simulator/stats`."""

    created: int = 0
    opened: int = 0
    finished: int = 0
    token_refusals: Counter[str] = field(default_factory=Counter)
    calls: int = 0
    reads: int = 0
    max_reads: int = 0
    """The most reads of one session."""
    answers: Counter[str] = field(default_factory=Counter)
    """GetResult answers by `OK`, error code, or kind of fault."""
    max_in_flight: int = 0
    """The most GetResult calls at the same time for one api_key."""
    callbacks: Counter[str] = field(default_factory=Counter)
    """Attempts to post, by kind (`notify`, `forged`) and by result (`accepted`, `not_accepted`)."""
    returns: Counter[str] = field(default_factory=Counter)
    """Browsers sent back, by method."""

    def count_read(self, session: Session) -> None:
        """Count a read of a session's result."""
        session.reads += 1
        self.reads += 1
        self.max_reads = max(self.max_reads, session.reads)

    def count_callback(self, callback: CallbackAttempt) -> None:
        """Count an attempt to post a callback."""
        self.callbacks[callback.kind] += 1
        self.callbacks["accepted" if callback.accepted else "not_accepted"] += 1

    def totals(self) -> dict[str, int | dict[str, int]]:
        """The totals by name, for JSON."""
        return {total.name: getattr(self, total.name) for total in fields(self)}
