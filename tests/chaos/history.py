"""What a run has done and seen: plain values, so that a test can hand the checker any history it likes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Proof = Literal["final", "unfinished", "hint", "forged"]
"""What a post shows: signed evidence that can decide, a signed flow that goes on, a GET return, or nothing."""


@dataclass(frozen=True, slots=True)
class Posted:
    """One attempt to post something to the ingress."""

    biz_id: str
    channel: Literal["notify", "return"]
    proof: Proof
    answer: int | str
    """The HTTP status, or why there was none."""
    at: float = 0.0
    """Unix seconds when it was answered."""

    @property
    def signed(self) -> bool:
        """Whether FaceID signed it."""
        return self.proof in {"final", "unfinished"}

    @property
    def accepted(self) -> bool:
        """Whether its sender was told that it is stored; a browser is sent on either way, so it is told nothing."""
        return self.channel == "notify" and isinstance(self.answer, int) and 200 <= self.answer < 300


@dataclass(frozen=True, slots=True)
class Seen:
    """One verification as the vendor saw it."""

    biz_id: str
    reads: int
    """GetResult calls that the vendor counted."""
    finished: bool
    outcomes: frozenset[str]
    """Those that its evidence allows, whether it could be reconciled or not."""


@dataclass(frozen=True, slots=True)
class Case:
    """One case of the ledger."""

    biz_id: str
    notified: int
    returned: int
    reads: int
    carried: bool
    """Whether an item holds signed, final evidence on it."""
    decision: str
    """Id of the decision that is committed; empty without one."""
    published: str
    """Id of the decision that is marked as published; empty without one."""


@dataclass(frozen=True, slots=True)
class ResultMessage:
    """One decision in the results queue."""

    id: str
    biz_id: str
    revision: int
    supersedes: str | None
    outcome: str
    at: float
    """Unix seconds by the results broker's clock."""


@dataclass(frozen=True, slots=True)
class Letter:
    """One item on the message set of dead letters or of unverified callbacks; `biz_id` as its body claims it."""

    id: str
    biz_id: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """All that a run has done and seen."""

    posted: tuple[Posted, ...]
    seen: tuple[Seen, ...]
    cases: tuple[Case, ...]
    messages: tuple[ResultMessage, ...]
    alerts: tuple[str, ...] = ()
    """Ids in the order of the alerts queue."""
    dead: tuple[Letter, ...] = ()
    unverified: tuple[Letter, ...] = ()
    waiting: Mapping[str, int] = field(default_factory=dict)
    """How many items each queue, pending list and message set of the pipeline still holds."""
    deaths: tuple[str, ...] = ()
    """Processes that ended though nobody had killed them."""
    budget: int = 3
    results_apart: bool = False
    """Whether results go to another broker: then a message may be repeated, under the same id."""
