"""Who uses the pipeline during a run: users, forgers, unknown biz_ids, and browsers that return too early."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Final, Literal

from pyreqwest.client import Client
from pyreqwest.exceptions import RequestError
from pyreqwest.request import RequestBuilder

from deploy.local.sessions import NO_FAULTS, Session
from deploy.local.stack import DEMO_KEY, DEMO_SECRET, Stack
from deploy.simulator.driver.browser import Browser, Token, get_token, http_client
from deploy.simulator.driver.control_client import ControlClient
from deploy.simulator.model.faults import Faults
from deploy.simulator.model.scenarios import SCENARIOS, DocumentOptions, document
from deploy.simulator.model.wire import URLENCODED, encode_form, json_text, signed_fields, with_biz_id
from tests.chaos.history import Posted
from tests.support.biz_ids import biz_id

Role = Literal["verified", "forger", "unknown", "early"]
"""`verified`: goes through a whole verification. `forger`: posts a callback without the secret. `unknown`: returns
with a biz_id that was never issued. `early`: returns before the verification has begun."""


@dataclass(frozen=True, slots=True)
class User:
    """A user, and what becomes of the verification."""

    role: Role
    session: Session
    contradiction: str = ""
    """The outcome of a second notify that contradicts the first one; empty without one."""


def _verified(scenario: str, outcome: str, share: int, method: str = "POST", faults: Faults = NO_FAULTS) -> User:
    return User("verified", Session(scenario, outcome, share, method, faults, returns=2))


NEVER_VERIFIED: Final = Session("pass", "", 2)
USERS: Final = (
    _verified("pass", "APPROVED", 40),
    _verified("pass", "APPROVED", 10, "GET"),
    _verified("pass", "APPROVED", 5, faults=Faults(forged="wrong-secret")),
    _verified("pass", "APPROVED", 5, faults=Faults(forged="altered")),
    _verified("processing-first", "APPROVED", 4),
    _verified("not-started-first", "APPROVED", 2),
    _verified("liveness-fail", "REJECTED", 8),
    _verified("face-below", "REJECTED", 4),
    _verified("face-between", "REVIEW", 4),
    _verified("cancelled", "INCOMPLETE", 6),
    _verified("timeout", "INCOMPLETE", 4),
    _verified("data-source-error", "UNDETERMINED", 2),
    User("forger", NEVER_VERIFIED),
    User("unknown", NEVER_VERIFIED),
    User("early", NEVER_VERIFIED),
)
"""All kinds, with their shares of a hundred."""

WITH_FAULTS: Final[Mapping[str, tuple[User, ...]]] = {
    "lost-callbacks": (
        _verified("pass", "APPROVED", 5, faults=Faults(lose_notify=True)),
        _verified("pass", "APPROVED", 5, "GET", Faults(lose_notify=True)),
        _verified("pass", "APPROVED", 5, faults=Faults(lose_return=True)),
    ),
    "doubled-callbacks": (
        User("verified", Session("pass", "APPROVED", 10, faults=Faults(notify_copies=3), returns=3)),
        User("verified", Session("liveness-fail", "REJECTED", 5, faults=Faults(notify_copies=3), returns=3)),
    ),
    "reordered-callbacks": (
        _verified("pass", "APPROVED", 5, faults=Faults(notify_late_seconds=0.3)),
        _verified("pass", "APPROVED", 5, "GET", Faults(notify_late_seconds=2.5)),
        _verified("processing-first", "APPROVED", 5, faults=Faults(return_late_seconds=1.5)),
    ),
    "contradicting-callbacks": (
        User("verified", Session("pass", "APPROVED", 3, faults=Faults(then="cancelled")), "INCOMPLETE"),
    ),
}
"""The kinds that come with a fault of the callbacks."""


def choose_users(count: int, faults: Sequence[str], dice: Random) -> Iterator[User]:
    """`count` users in the shares of the tables, shuffled."""
    kinds = USERS + tuple(user for fault in faults for user in WITH_FAULTS.get(fault, ()))
    shares = [user.session.share for user in kinds]
    yield from dice.choices(kinds, shares, k=count)


class Users:
    """Runs users' sessions against a stack, and notes what they posted."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._vendor_url = f"{stack.simulator_url}/faceid/lite"
        self._http = http_client()
        self._browser = Browser(self._http, self._vendor_url)
        self._remote = ControlClient(self._http, stack.simulator_url)
        self._impatient: Client = http_client(3)
        self.posted: list[Posted] = []
        """All but the notifies, which the simulator notes."""
        self.users: dict[str, User] = {}
        """By biz_id."""
        self.done = 0
        """Sessions that have ended."""

    async def run(self, users: Iterator[User], pace: float) -> None:
        """Start `pace` sessions a second, however long each takes. Returns when the last one has ended."""
        began = asyncio.get_running_loop().time()
        async with asyncio.TaskGroup() as group:
            for number, user in enumerate(users, 1):
                group.create_task(self._run(number, user))
                await asyncio.sleep(began + number / pace - asyncio.get_running_loop().time())

    async def _run(self, number: int, user: User) -> None:
        match user.role:
            case "verified":
                await self._verify(await self._token(number, user), user.session)
            case "forger":
                await self._forge((await self._token(number, user)).biz_id)
            case "unknown":
                await self._return_unsigned(biz_id(number))
            case "early":
                await self._return_unsigned((await self._token(number, user)).biz_id)
        self.done += 1

    async def _token(self, number: int, user: User) -> Token:
        token = await get_token(self._http, self._vendor_url, self._order(number, user.session))
        self.users[token.biz_id] = user
        return token

    async def _verify(self, token: Token, session: Session) -> None:
        await self._remote.assign(token.biz_id, session.scenario, session.faults)
        if session.scenario == "timeout":
            await self._remote.time_out(token.biz_id)
            return
        visit = await self._browser.verify(token.token, returns=session.returns)
        if visit.returned is not None:
            proof: Literal["final", "unsigned"] = "final" if visit.returned == "POST" else "unsigned"
            answer, status = visit.return_status or "none", SCENARIOS[session.scenario].evidence.status
            self.posted += [Posted(token.biz_id, "return", proof, answer, status=status)] * session.returns

    async def _forge(self, biz_id: str) -> None:
        """Post a callback that claims that a user has passed, signed with a wrong secret, until it is stored."""
        claim = json_text(document(DocumentOptions(biz_id, "forged"), SCENARIOS["pass"].evidence))
        form = encode_form(signed_fields("a guess", claim), URLENCODED, "")
        answer: int | str = ""
        while answer != 200:
            request = self._impatient.post(self._stack.notify_url).header("content-type", form.content_type)
            answer = await _sent(request.body_bytes(form.content))
            self.posted.append(Posted(biz_id, "notify", "forged", answer))
            await asyncio.sleep(0.5)

    async def _return_unsigned(self, biz_id: str) -> None:
        answer = await _sent(self._impatient.get(with_biz_id(self._stack.return_url, biz_id)))
        self.posted.append(Posted(biz_id, "return", "unsigned", answer))

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
