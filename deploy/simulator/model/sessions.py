"""Verifications from get_token to the day their results are forgotten, in memory."""

import asyncio
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Literal
from uuid import UUID

from deploy.simulator.model.faults import Assignment, FaultQueue, Faults
from deploy.simulator.model.refusals import bad
from deploy.simulator.model.scenarios import SCENARIOS, Document, Evidence, document
from deploy.simulator.model.settings import SimulatorSettings
from deploy.simulator.model.token_request import Order

Clock = Callable[[], float]
CallbackKind = Literal["notify", "forged"]


@dataclass(frozen=True, slots=True)
class Callback:
    """One attempt to post a callback."""

    kind: CallbackKind
    status: str
    """The `status` field of its data."""
    attempt: int
    answer: int | str
    """The HTTP status it got, or why there was none: `refused`, `timeout` or `broken`."""
    at: float

    @property
    def accepted(self) -> bool:
        """Whether the answer was 2xx."""
        return isinstance(self.answer, int) and 200 <= self.answer < 300


@dataclass(slots=True, eq=False)
class Session:
    """One verification: what was ordered, what the user does, and what was seen of it."""

    biz_id: str
    token: str
    api_key: str
    order: Order
    created_at: float
    scenario: str = "pass"
    faults: Faults = field(default_factory=Faults)
    result_faults: FaultQueue = field(default_factory=FaultQueue)
    opened_at: float | None = None
    finished_at: float | None = None
    calls: int = 0
    """GetResult calls for it, whatever became of them."""
    reads: int = 0
    """Calls that count against the limit, those beyond it included: more than the limit is an overspent budget."""
    returned: Literal["POST", "GET"] | None = None
    """How the browser was sent back."""
    callbacks: list[Callback] = field(default_factory=list)
    timer: asyncio.TimerHandle | None = None

    def assign(self, assignment: Assignment) -> None:
        """Give the session another fate; what has already happened stays."""
        self.scenario = assignment.scenario or self.scenario
        self.faults = assignment.faults
        self.result_faults = FaultQueue(assignment.faults.get_result)

    @property
    def status(self) -> str:
        """What FaceID would say of it now."""
        if self.finished_at is not None:
            return SCENARIOS[self.scenario].evidence.status
        return "NOT_STARTED" if self.opened_at is None else "PROCESSING"

    @property
    def is_awaiting_its_user(self) -> bool:
        """Whether nobody has opened the page yet, and the time for it is not over."""
        return self.opened_at is None and self.finished_at is None

    def callback_document(self, evidence: Evidence) -> Document:
        """The `data` of a callback about it."""
        return self._document(evidence, verify_time_wanted=self.order.verify_time_wanted)

    def result_document(self, *, verify_time_wanted: bool) -> Document:
        """What GetResult says of it."""
        if self.finished_at is None:
            evidence = Evidence(status=self.status, live=None)
        else:
            evidence = SCENARIOS[self.faults.result or self.scenario].evidence
        return self._document(evidence, verify_time_wanted=verify_time_wanted)

    def _document(self, evidence: Evidence, *, verify_time_wanted: bool) -> Document:
        verify_time = int(self.finished_at or self.created_at) if verify_time_wanted else None
        return document(self.order.subject(self.biz_id), evidence, verify_time)


class Sessions:
    """Every session that is not yet forgotten, oldest first."""

    def __init__(self, settings: SimulatorSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._random = random.Random(settings.seed)  # noqa: S311 - ids of made-up sessions, repeatable by seed
        self._by_biz_id: dict[str, Session] = {}
        self._by_token: dict[str, Session] = {}
        self._biz_nos: set[tuple[str, str]] = set()

    def __len__(self) -> int:
        return len(self._by_biz_id)

    def create(self, api_key: str, order: Order) -> Session:
        """A new session; raises `Refused` for a biz_no that this account has used before."""
        if (api_key, order.biz_no) in self._biz_nos:
            raise bad("biz_no")
        self._forget_the_old()
        session = Session(self.unique_id(), f"{self._random.getrandbits(256):064x}", api_key, order, self._clock())
        self._by_biz_id[session.biz_id] = session
        self._by_token[session.token] = session
        self._biz_nos.add((api_key, order.biz_no))
        return session

    def unique_id(self) -> str:
        """A biz_id or request_id: `<unix seconds>,<uuid>`."""
        return f"{int(self._clock())},{UUID(int=self._random.getrandbits(128), version=4)}"

    def find(self, biz_id: str) -> Session | None:
        """The session of a biz_id, None for an unknown or forgotten one."""
        return self._by_biz_id.get(biz_id)

    def page(self, offset: int, limit: int) -> Iterator[Session]:
        """`limit` sessions in the order of their creation, after the first `offset`."""
        return islice(self._by_biz_id.values(), offset, offset + limit)

    def open(self, token: str) -> Session | None:
        """Use up a token: its session is in progress from now on; None if it is unknown, used or expired."""
        session = self._by_token.pop(token, None)
        if session is None or self._clock() > session.created_at + self._settings.token_ttl_seconds:
            return None
        session.opened_at = self._clock()
        return session

    def finish(self, session: Session) -> None:
        """The flow has ended: from now on there is a result."""
        self._by_token.pop(session.token, None)
        if session.timer:
            session.timer.cancel()
        session.finished_at = self._clock()

    def is_destroyed(self, session: Session) -> bool:
        """Whether its result was read often enough or is too old; call it after the read was counted."""
        born = session.finished_at or session.created_at
        return session.reads > self._settings.max_reads or self._clock() > born + self._settings.result_ttl_seconds

    def _forget_the_old(self) -> None:
        horizon = self._clock() - self._settings.result_ttl_seconds - max(self._settings.result_ttl_seconds, 86400)
        while self._by_biz_id:
            oldest = next(iter(self._by_biz_id.values()))
            if len(self) < self._settings.max_sessions and oldest.created_at > horizon:
                return
            self._forget(oldest)

    def _forget(self, session: Session) -> None:
        del self._by_biz_id[session.biz_id]
        self._by_token.pop(session.token, None)
        self._biz_nos.discard((session.api_key, session.order.biz_no))
        if session.timer:
            session.timer.cancel()
