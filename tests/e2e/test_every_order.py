"""Every order of a session's callbacks and of GetResult's answer, through real processes, all sessions side by side.

All sessions go step by step: each does its next event, and all wait until the pipeline has handled it.
"""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import permutations
from pathlib import Path
from typing import Any, Literal, get_args
from urllib.parse import parse_qs

import pytest
from pyreqwest.client import Client
from redis import Redis
from starlette.types import Receive, Scope, Send

from deploy.local.stack import DEMO_KEY, DEMO_SECRET, Stack
from deploy.simulator.driver.browser import Browser, get_token, http_client
from deploy.simulator.driver.control_client import ControlClient
from deploy.simulator.model.faults import Faults
from tests.support.load import alerts, decisions, signed
from tests.support.queues import is_idle
from tests.support.redis_clients import open_redis
from tests.support.simulated import Customer, running
from tests.support.stacks import new_stack
from tests.support.waiting import eventually
from workers.faceid.concurrency_limiter import FIRST_SIZE

pytestmark = pytest.mark.server

Event = Literal["GET return", "notify", "POST return", "PROCESSING", "answer"]
"""What happens in a session. `answer`: GetResult answers from now on; an earlier read is in flight until then."""
Variant = Literal["agreeing", "GetResult fails", "callbacks fail", "POST return fails"]
"""Who says that the user has failed. The others say that the user has passed."""
SETTINGS = {
    "FACEID_HINT_DELAY_SECONDS": "0",
    "FACEID_TOKEN_LIFE_SECONDS": "0",
    "FACEID_HINT_READS_PER_MINUTE": "100000",
    "FACEID_GETRESULT_TIMEOUT_SECONDS": "120",
}
SCENARIOS: dict[Variant, tuple[str, Faults]] = {
    "agreeing": ("pass", Faults()),
    "GetResult fails": ("pass", Faults(result="liveness-fail")),
    "callbacks fail": ("liveness-fail", Faults(result="pass")),
    "POST return fails": ("pass", Faults(then="liveness-fail", lose_return=True)),
}
AT_ONCE = 24


@dataclass
class Session:
    """One verification, and the order of its events."""

    variant: Variant
    order: tuple[Event, ...]
    biz_id: str = ""
    bodies: dict[Event, bytes] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return f"{self.variant}: {', '.join(self.order)}"

    @property
    def decided_at(self) -> int:
        """The step with which the case can be decided: GetResult answers, and an arrival has asked for it."""
        return max(1, self.order.index("answer"))

    def expected(self) -> "Result":
        """The outcomes of the revisions, and the number of alerts."""
        known = self.order[: self.decided_at + 1]
        seen = {"notify", "POST return"} & set(known)
        match self.variant:
            case "agreeing":
                return Result(("APPROVED",))
            case "GetResult fails":
                return Result(("REJECTED",), conflicts=0 if seen else 1)
            case "callbacks fail":
                return Result(("REVIEW",)) if seen else Result(("APPROVED", "REVIEW"), conflicts=1, superseded=1)
            case "POST return fails":  # the two signed texts contradict each other, which raises the alert at once
                late = "POST return" not in seen
                return Result(("APPROVED", "REVIEW") if late else ("REVIEW",), conflicts=1, superseded=int(late))


@dataclass(frozen=True)
class Result:
    """What came out of a session."""

    outcomes: tuple[str, ...]
    conflicts: int = 0
    superseded: int = 0
    reads: int = 1


class Gate:
    """Stands before GetResult: a call waits there until its session's answer is released."""

    def __init__(self, http: Client) -> None:
        self._http = http
        self._released: dict[str, asyncio.Event] = {}
        self.upstream = ""

    def release(self, biz_id: str) -> None:
        self._event(biz_id).set()

    def _event(self, biz_id: str) -> asyncio.Event:
        return self._released.setdefault(biz_id, asyncio.Event())

    async def __call__(self, scope: Scope, _: Receive, send: Send) -> None:
        query = scope["query_string"].decode()
        await self._event(parse_qs(query)["biz_id"][0]).wait()
        answer = await self._http.get(f"{self.upstream}{scope['path']}?{query}").build().send()
        body = bytes(await answer.bytes())
        headers = [(b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": body})


class Play:
    """Plays sessions against a stack."""

    def __init__(self, stack: Stack, http: Client, gate: Gate, customer: Customer, redis: "Redis") -> None:
        self._stack = stack
        self._http = http
        self._gate = gate
        self._customer = customer
        self._redis = redis
        self._base = f"{stack.simulator_url}/faceid/lite"
        self._control = ControlClient(http, stack.simulator_url)
        self._limit = asyncio.Semaphore(AT_ONCE)
        self._open = asyncio.Semaphore(FIRST_SIZE)  # a worker that has just started has so many reads in flight

    async def verify(self, session: Session) -> None:
        """Let the user finish. The callbacks go to a recorder: they are posted to the pipeline later."""
        async with self._limit:
            url = f"{self._customer.url}/{len(self._customer.arrivals)}"
            fields = {
                **{"api_key": DEMO_KEY, "api_secret": DEMO_SECRET, "biz_no": session.name.replace(" ", "")[:100]},
                **{"notify_url": url, "return_url": url, "comparison_type": "0", "uuid": "u", "image_ref1": "photo"},
            }
            token = await get_token(self._http, self._base, fields)
            session.biz_id = token.biz_id
            await self._control.assign(token.biz_id, *SCENARIOS[session.variant])
            await Browser(self._http, self._base).verify(token.token)

    def collect(self, sessions: list[Session]) -> None:
        """Give each session its callbacks: the first one is the notify, the second one the POST return."""
        recorded: dict[str, list[bytes]] = {}
        for arrival in self._customer.arrivals:
            recorded.setdefault(arrival.data["biz_info"]["biz_id"], []).append(arrival.body)
        for session in sessions:
            notify, returned = recorded[session.biz_id]
            open_flow = signed({"status": "PROCESSING", "biz_info": {"biz_id": session.biz_id}})
            session.bodies = {"notify": notify, "POST return": returned, "PROCESSING": open_flow}

    async def do(self, session: Session, event: Event) -> None:
        if event == "answer":
            self._gate.release(session.biz_id)
            return
        async with self._limit:
            if event == "GET return":
                request = self._http.get(self._stack.return_url).query({"biz_id": session.biz_id})
            else:
                url = self._stack.return_url if event == "POST return" else self._stack.notify_url
                form = "application/x-www-form-urlencoded"
                request = self._http.post(url).header("content-type", form).body_bytes(session.bodies[event])
            answer = await request.build().send()
        assert answer.status in (200, 303), (session.name, event, answer.status)

    async def through(self, session: Session) -> None:
        """Play all events of a session, each after the one before is handled."""
        async with self._open:
            for step, event in enumerate(session.order):
                await self.do(session, event)
                await eventually(partial(self.handled, session, step), what=f"step {step} of {session.name}")

    def handled(self, session: Session, step: int) -> bool:
        """Whether the session's events up to this step are recorded, and its case is decided if it can be."""
        key = f"faceid:case:{{default}}:{session.biz_id}"
        notify, returned, published = self._redis.hmget(key, "count:notify", "count:return", "published")
        recorded = sum(event != "answer" for event in session.order[: step + 1])
        return int(notify or 0) + int(returned or 0) == recorded and (bool(published) or step < session.decided_at)

    async def results(self, sessions: list[Session]) -> dict[str, Result]:
        told = Counter((alert.biz_id, alert.kind.value) for alert in alerts(self._redis))
        made: dict[str, list[dict[str, Any]]] = {}
        for decision in decisions(self._redis):
            made.setdefault(decision["biz_id"], []).append(decision)
        reads = {session["biz_id"]: session["reads"] for session in await self._control.sessions()}
        return {session.name: _result(session, made[session.biz_id], told, reads) for session in sessions}


def _result(session: Session, made: list[dict[str, Any]], told: Counter[Any], reads: dict[str, int]) -> Result:
    made.sort(key=lambda decision: decision["revision"])
    assert [decision["revision"] for decision in made] == [1, 2][: len(made)]
    return Result(
        tuple(decision["outcome"] for decision in made),
        conflicts=told[session.biz_id, "evidence_conflict"],
        superseded=told[session.biz_id, "decision_superseded"],
        reads=reads[session.biz_id],
    )


def every_session() -> Iterator[Session]:
    for variant in get_args(Variant):
        for order in permutations(get_args(Event)):
            yield Session(variant, order)


@asynccontextmanager
async def played(folder: Path) -> AsyncIterator[Play]:
    customer = Customer()
    async with http_client(120) as http:
        gate = Gate(http)
        async with running(gate, "off") as gate_url, running(customer, "off") as customer.url:
            settings = SETTINGS | {"FACEID_BASE_URL": f"{gate_url}/faceid/lite"}
            stack = new_stack(folder, settings=settings)
            gate.upstream = stack.simulator_url
            await asyncio.to_thread(stack.start)
            try:
                with open_redis(stack.redis_url) as redis:
                    yield Play(stack, http, gate, customer, redis)
            finally:
                await asyncio.to_thread(stack.stop)


async def test_every_order_of_callbacks_and_answer_has_its_outcome_revision_and_alerts(tmp_path: Path) -> None:
    sessions = list(every_session())
    assert len(sessions) == 480
    async with played(tmp_path) as play:
        await asyncio.gather(*map(play.verify, sessions))
        play.collect(sessions)
        await asyncio.gather(*map(play.through, sessions))
        await eventually(lambda: is_idle(play._redis), what="the end of all work")
        results = await play.results(sessions)
    wrong = {
        session.name: (results[session.name], session.expected())
        for session in sessions
        if results[session.name] != session.expected()
    }
    assert not wrong, f"{len(wrong)} of {len(sessions)}, found and expected: {json.dumps(wrong, default=str, indent=1)}"
