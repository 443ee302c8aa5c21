"""Totals over the whole run; forgetting a session takes nothing from them."""

from collections import Counter
from dataclasses import dataclass, field, fields

from deploy.simulator.model.sessions import Callback, Session


@dataclass(slots=True)
class Stats:
    """What the simulator has seen and done since its start."""

    created: int = 0
    opened: int = 0
    finished: int = 0
    token_refusals: Counter[str] = field(default_factory=Counter)
    calls: int = 0
    reads: int = 0
    max_reads: int = 0
    """The most reads that any one session had."""
    answers: Counter[str] = field(default_factory=Counter)
    """GetResult answers: `OK` or the code of the refusal or the kind of the fault."""
    max_in_flight: int = 0
    """The most GetResult calls there were at a time."""
    callbacks: Counter[str] = field(default_factory=Counter)
    """Attempts to post, by kind (`notify`, `forged`), and by what they got (`accepted`, `not_accepted`)."""
    returns: Counter[str] = field(default_factory=Counter)

    def count_read(self, session: Session) -> None:
        """A call that counts against the limit of its session."""
        session.reads += 1
        self.reads += 1
        self.max_reads = max(self.max_reads, session.reads)

    def count_callback(self, callback: Callback) -> None:
        """One attempt to post a callback."""
        self.callbacks[callback.kind] += 1
        self.callbacks["accepted" if callback.accepted else "not_accepted"] += 1

    def totals(self) -> dict[str, int | dict[str, int]]:
        """All of it by name, for JSON."""
        return {total.name: getattr(self, total.name) for total in fields(self)}
