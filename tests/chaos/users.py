"""Who comes during a run: users, forgers, strangers with made-up ids, and browsers that return too early."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Final, Literal
from uuid import UUID

from pyreqwest.client import Client
from pyreqwest.exceptions import RequestError
from pyreqwest.request import RequestBuilder

from deploy.local.sessions import NO_FAULTS, Session
from deploy.local.stack import DEMO_KEY, DEMO_SECRET, Stack
from deploy.simulator.driver.browser import Browser, Token, get_token, http_client
from deploy.simulator.driver.control_client import Remote
from deploy.simulator.model.faults import Faults
from deploy.simulator.model.scenarios import SCENARIOS, Subject, document
from deploy.simulator.model.wire import URLENCODED, encode_form, json_text, signed_fields, with_biz_id
from tests.chaos.history import Posted

Role = Literal["user", "forger", "stranger", "early"]


@dataclass(frozen=True, slots=True)
class Guest:
    """Somebody, and for a user what becomes of the verification."""

    role: Role
    session: Session


def _users(scenario: str, outcome: str, share: int, method: str = "POST", faults: Faults = NO_FAULTS) -> Guest:
    return Guest("user", Session(scenario, outcome, share, method, faults, returns=2))


NOBODY: Final = Session("pass", "", 2)
GUESTS: Final = (
    _users("pass", "APPROVED", 40),
    _users("pass", "APPROVED", 10, "GET"),
    _users("pass", "APPROVED", 5, faults=Faults(forged="wrong-secret")),
    _users("pass", "APPROVED", 5, faults=Faults(forged="altered")),
    _users("processing-first", "APPROVED", 4),
    _users("not-started-first", "APPROVED", 2),
    _users("liveness-fail", "REJECTED", 8),
    _users("face-below", "REJECTED", 4),
    _users("face-between", "REVIEW", 4),
    _users("cancelled", "INCOMPLETE", 6),
    _users("timeout", "INCOMPLETE", 4),
    _users("data-source-error", "UNDETERMINED", 2),
    Guest("forger", NOBODY),
    Guest("stranger", NOBODY),
    Guest("early", NOBODY),
)
"""Everybody, with their shares of a hundred."""

BROUGHT_ALONG: Final[Mapping[str, tuple[Guest, ...]]] = {
    "lost-callbacks": (
        _users("pass", "APPROVED", 5, faults=Faults(lose_notify=True)),
        _users("pass", "APPROVED", 5, "GET", Faults(lose_notify=True)),
        _users("pass", "APPROVED", 5, faults=Faults(lose_return=True)),
    ),
    "doubled-callbacks": (
        Guest("user", Session("pass", "APPROVED", 10, faults=Faults(notify_copies=3), returns=3)),
        Guest("user", Session("liveness-fail", "REJECTED", 5, faults=Faults(notify_copies=3), returns=3)),
    ),
    "reordered-callbacks": (
        _users("pass", "APPROVED", 5, faults=Faults(notify_late_seconds=0.3)),
        _users("pass", "APPROVED", 5, "GET", Faults(notify_late_seconds=2.5)),
        _users("processing-first", "APPROVED", 5, faults=Faults(return_late_seconds=1.5)),
    ),
}
"""Those who bring a fault of the callbacks along."""


def guests(count: int, faults: Sequence[str], dice: Random) -> Iterator[Guest]:
    """`count` of them in the shares of the tables, shuffled."""
    kinds = GUESTS + tuple(guest for fault in faults for guest in BROUGHT_ALONG.get(fault, ()))
    shares = [guest.session.share for guest in kinds]
    yield from dice.choices(kinds, shares, k=count)


class Crowd:
    """Plays guests against a stack, and remembers what they posted."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._vendor_url = f"{stack.simulator_url}/faceid/lite"
        self._http = http_client()
        self._browser = Browser(self._http, self._vendor_url)
        self._remote = Remote(self._http, stack.simulator_url)
        self._hasty: Client = http_client(3)
        self.posted: list[Posted] = []
        """All but the notifies, which the simulator remembers."""
        self.outcomes: dict[str, frozenset[str]] = {}
        """By biz_id, those that its evidence allows."""
        self.gone = 0
        """Guests that have done what they came for."""

    async def come(self, expected: Iterator[Guest], pace: float) -> None:
        """`pace` of them a second, however long each takes; returns when the last one has gone."""
        began = asyncio.get_running_loop().time()
        async with asyncio.TaskGroup() as group:
            for number, guest in enumerate(expected, 1):
                group.create_task(self._play(number, guest))
                await asyncio.sleep(began + number / pace - asyncio.get_running_loop().time())

    async def _play(self, number: int, guest: Guest) -> None:
        match guest.role:
            case "user":
                await self._verify(await self._token(number, guest.session), guest.session)
            case "forger":
                await self._forge((await self._token(number, guest.session)).biz_id)
            case "stranger":
                await self._hint(f"1462259748,{UUID(int=number)}")
            case "early":
                await self._hint((await self._token(number, guest.session)).biz_id)
        self.gone += 1

    async def _token(self, number: int, session: Session) -> Token:
        token = await get_token(self._http, self._vendor_url, self._order(number, session))
        self.outcomes[token.biz_id] = frozenset({session.outcome, "REVIEW"}) if session.outcome else frozenset()
        return token

    async def _verify(self, token: Token, session: Session) -> None:
        await self._remote.assign(token.biz_id, session.scenario, session.faults)
        if session.scenario == "timeout":
            await self._remote.time_out(token.biz_id)
            return
        visit = await self._browser.verify(token.token, returns=session.returns)
        if visit.returned is not None:
            proof: Literal["final", "hint"] = "final" if visit.returned == "POST" else "hint"
            self.posted += [Posted(token.biz_id, "return", proof, visit.return_status or "none")] * session.returns

    async def _forge(self, biz_id: str) -> None:
        """Without the secret somebody claims that a user has passed who never came; tries until it is taken."""
        claim = json_text(document(Subject(biz_id, "forged"), SCENARIOS["pass"].evidence))
        form = encode_form(signed_fields("a guess", claim), URLENCODED, "")
        answer: int | str = ""
        while answer != 200:
            request = self._hasty.post(self._stack.notify_url).header("content-type", form.content_type)
            answer = await _sent(request.body_bytes(form.content))
            self.posted.append(Posted(biz_id, "notify", "forged", answer))
            await asyncio.sleep(0.5)

    async def _hint(self, biz_id: str) -> None:
        answer = await _sent(self._hasty.get(with_biz_id(self._stack.return_url, biz_id)))
        self.posted.append(Posted(biz_id, "return", "hint", answer))

    def _order(self, number: int, session: Session) -> dict[str, str]:
        return {
            "api_key": DEMO_KEY,
            "api_secret": DEMO_SECRET,
            "notify_url": self._stack.notify_url,
            "return_url": self._stack.return_url,
            "action_http_method": session.method,
            "biz_no": f"chaos-{number}",
            "comparison_type": "0",
            "uuid": f"{number}",
            "image_ref1": "a reference photo",
        }


async def _sent(request: RequestBuilder) -> int | str:
    """The HTTP status, or what went wrong."""
    try:
        return (await request.build().send()).status
    except RequestError as error:
        return type(error).__name__
