"""The sessions (verifications), from get_token until they are forgotten. Kept in memory."""

import asyncio
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Literal
from uuid import UUID

from deploy.simulator.model.api_errors import bad_argument
from deploy.simulator.model.faults import Assignment, FaultQueue, Faults
from deploy.simulator.model.scenarios import SCENARIOS, Document, Evidence, document
from deploy.simulator.model.settings import SimulatorSettings
from deploy.simulator.model.token_request import TokenRequest

Clock = Callable[[], float]
CallbackKind = Literal["notify", "forged"]


@dataclass(frozen=True, slots=True)
class CallbackAttempt:
    """One attempt to post a callback, and its answer."""

    kind: CallbackKind
    status: str
    """The `status` field of its data."""
    attempt: int
    answer: int | str
    """The HTTP status of the answer, or why there was none: `refused`, `timeout` or `broken`."""
    at: float
    """Unix seconds."""

    @property
    def accepted(self) -> bool:
        """Whether the answer was 2xx."""
        return isinstance(self.answer, int) and 200 <= self.answer < 300


@dataclass(slots=True, eq=False)
class Session:
    """One verification: its request, its scenario and faults, and the calls made about it."""

    biz_id: str
    token: str
    api_key: str
    request: TokenRequest
    created_at: float
    scenario: str = "pass"
    faults: Faults = field(default_factory=Faults)
    result_faults: FaultQueue = field(default_factory=FaultQueue)
    opened_at: float | None = None
    finished_at: float | None = None
    calls: int = 0
    """GetResult calls of this session, with those that failed."""
    reads: int = 0
    """GetResult calls that count against `max_reads`. More than `max_reads`: the customer has overspent the budget."""
    returned: Literal["POST", "GET"] | None = None
    """How the browser was sent back. None: it was not."""
    callbacks: list[CallbackAttempt] = field(default_factory=list)
    timer: asyncio.TimerHandle | None = None
    """Lets the session time out."""

    def assign(self, assignment: Assignment) -> None:
        """Set scenario and faults. Callbacks that were already sent stay as they are."""
        self.scenario = assignment.scenario or self.scenario
        self.faults = assignment.faults
        self.result_faults = FaultQueue(assignment.faults.get_result)

    @property
    def status(self) -> str:
        """FaceID's status of the session now."""
        if self.finished_at is not None:
            return SCENARIOS[self.scenario].evidence.status
        return "NOT_STARTED" if self.opened_at is None else "PROCESSING"

    @property
    def is_unopened(self) -> bool:
        """Whether the page was not opened yet and the session has not timed out."""
        return self.opened_at is None and self.finished_at is None

    def callback_document(self, evidence: Evidence) -> Document:
        """The document in the `data` of a callback."""
        return self._document(evidence, verify_time_wanted=self.request.verify_time_wanted)

    def result_document(self, *, verify_time_wanted: bool) -> Document:
        """The document that GetResult answers with."""
        if self.finished_at is None:
            evidence = Evidence(status=self.status, live=None)
        else:
            evidence = SCENARIOS[self.faults.result or self.scenario].evidence
        return self._document(evidence, verify_time_wanted=verify_time_wanted)

    def _document(self, evidence: Evidence, *, verify_time_wanted: bool) -> Document:
        verify_time = int(self.finished_at or self.created_at) if verify_time_wanted else None
        return document(self.request.document_options(self.biz_id), evidence, verify_time)


class Sessions:
    """All sessions, oldest first."""

    def __init__(self, settings: SimulatorSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._random = random.Random(settings.seed)  # noqa: S311 - the same seed gives the same ids
        self._by_biz_id: dict[str, Session] = {}
        self._by_token: dict[str, Session] = {}
        self._biz_nos: set[tuple[str, str]] = set()

    def __len__(self) -> int:
        return len(self._by_biz_id)

    def create(self, api_key: str, request: TokenRequest) -> Session:
        """Add a session. Raises `ApiError` when the account has used the biz_no before."""
        if (api_key, request.biz_no) in self._biz_nos:
            raise bad_argument("biz_no")
        self._forget_old_sessions()
        session = Session(self.unique_id(), f"{self._random.getrandbits(256):064x}", api_key, request, self._clock())
        self._by_biz_id[session.biz_id] = session
        self._by_token[session.token] = session
        self._biz_nos.add((api_key, request.biz_no))
        return session

    def unique_id(self) -> str:
        """A new biz_id or request_id: `<Unix seconds>,<uuid>` (API documents)."""
        return f"{int(self._clock())},{UUID(int=self._random.getrandbits(128), version=4)}"

    def find(self, biz_id: str) -> Session | None:
        """The session of a biz_id. None: unknown or forgotten."""
        return self._by_biz_id.get(biz_id)

    def page(self, offset: int, limit: int) -> Iterator[Session]:
        """At most `limit` sessions in the order of their creation, without the first `offset`."""
        return islice(self._by_biz_id.values(), offset, offset + limit)

    def open(self, token: str) -> Session | None:
        """Use up a token and mark its session as opened. None: the token is unknown, used or expired."""
        session = self._by_token.pop(token, None)
        if session is None or self._clock() > session.created_at + self._settings.token_ttl_seconds:
            return None
        session.opened_at = self._clock()
        return session

    def finish(self, session: Session) -> None:
        """Mark the session as finished: from now on it has a result."""
        self._by_token.pop(session.token, None)
        if session.timer:
            session.timer.cancel()
        session.finished_at = self._clock()

    def is_destroyed(self, session: Session) -> bool:
        """Whether its result is gone, because of its reads or its age. Call it after the read was counted."""
        started_at = session.finished_at or session.created_at
        return (
            session.reads > self._settings.max_reads or self._clock() > started_at + self._settings.result_ttl_seconds
        )

    def _forget_old_sessions(self) -> None:
        horizon = self._clock() - self._settings.result_ttl_seconds - max(self._settings.result_ttl_seconds, 86400)
        while self._by_biz_id:
            oldest = next(iter(self._by_biz_id.values()))
            if len(self) < self._settings.max_sessions and oldest.created_at > horizon:
                return
            self._forget(oldest)

    def _forget(self, session: Session) -> None:
        del self._by_biz_id[session.biz_id]
        self._by_token.pop(session.token, None)
        self._biz_nos.discard((session.api_key, session.request.biz_no))
        if session.timer:
            session.timer.cancel()
