"""What a run has done and seen: plain values, so that a test can hand the checker any history it likes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Proof = Literal["final", "unfinished", "unsigned", "forged"]
"""What a posted callback proves: a flow that has ended, a flow that goes on, or nothing (a GET return, a forgery)."""


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
    status: str = "OK"
    """The flow's status by this callback: two final ones with different statuses contradict each other."""

    @property
    def signed(self) -> bool:
        """Whether FaceID signed it."""
        return self.proof in {"final", "unfinished"}

    @property
    def accepted(self) -> bool:
        """Whether its sender was told that it is stored. A browser is redirected either way, so it never is."""
        return self.channel == "notify" and isinstance(self.answer, int) and 200 <= self.answer < 300


@dataclass(frozen=True, slots=True)
class VendorSession:
    """One verification as the vendor saw it."""

    biz_id: str
    reads: int
    """GetResult calls that the vendor counted."""
    finished: bool
    outcome: str
    """The outcome that its evidence must have; empty when no decision may be made on it."""
    contradiction: str = ""
    """The outcome of a second final callback that contradicts the first one; empty without one."""


@dataclass(frozen=True, slots=True)
class Case:
    """One case of the ledger."""

    biz_id: str
    notified: int
    returned: int
    reads: int
    owned: bool
    """Whether an item with signed, final evidence owns it."""
    decision: str
    """Id of the decision that is committed; empty without one."""
    published: str
    """Id of the decision that is marked as published; empty without one."""
    answered: bool = False
    """Whether it holds GetResult's final answer."""


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
    reasons: frozenset[str] = frozenset()
    """The codes of its reasons."""
    not_reconciled: str = ""
    """Why it does not rest on GetResult's answer; empty when it does."""


@dataclass(frozen=True, slots=True)
class AlertMessage:
    """One alert in the alerts queue."""

    id: str
    kind: str
    at: float
    """Unix seconds when it was raised."""
    biz_id: str = ""
    """Empty for an alert that is about no single case."""


@dataclass(frozen=True, slots=True)
class StoredItem:
    """One dead letter or one unverified callback; `biz_id` as its body claims it."""

    id: str
    biz_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class InjectedFault:
    """A fault that was injected; the times in unix seconds."""

    fault: str
    target: str
    began: float
    ended: float
    calls: int = 0
    """GetResult calls that began meanwhile; 0 for a fault that does not touch them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """All that a run has done and seen."""

    posted: tuple[Posted, ...]
    vendor_sessions: tuple[VendorSession, ...]
    cases: tuple[Case, ...]
    messages: tuple[ResultMessage, ...]
    alerts: tuple[AlertMessage, ...] = ()
    """In the order of the alerts queue."""
    dead: tuple[StoredItem, ...] = ()
    unverified: tuple[StoredItem, ...] = ()
    waiting: Mapping[str, int] = field(default_factory=dict)
    """How many items each queue, pending list and message set of the pipeline still holds."""
    deaths: tuple[str, ...] = ()
    """Processes that ended though no injected fault had killed them."""
    injected: tuple[InjectedFault, ...] = ()
    breaker_open: bool = False
    """Whether the account's circuit breaker is still open at the end."""
    budget: int = 3
    """Reads of GetResult that are allowed for a biz_id."""
    results_apart: bool = False
    """Whether results go to another broker: then a message may be repeated, under the same id."""
