"""Run sessions against a running stack, as the customer's back end and the users' browsers do."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from uuid import uuid4

from deploy.local.sessions import Session
from deploy.local.stack import DEMO_KEY, DEMO_SECRET, Stack
from deploy.simulator.driver.browser import Browser, get_token, http_client
from deploy.simulator.driver.control_client import ControlClient


@dataclass(frozen=True, slots=True)
class FinishedSession:
    """A session whose user is done."""

    biz_id: str
    session: Session
    number: int
    """Its number in the run, from 1."""


class SessionRunner:
    """Runs up to `at_once` sessions at a time."""

    def __init__(self, stack: Stack, at_once: int = 12) -> None:
        self._stack = stack
        self._at_once = at_once
        self._http = http_client()
        self._base_url = f"{stack.simulator_url}/faceid/lite"
        self._browser = Browser(self._http, self._base_url)
        self.control = ControlClient(self._http, stack.simulator_url)
        """The simulator's control API."""

    async def run(self, sessions: Iterable[Session]) -> AsyncIterator[FinishedSession]:
        """Run sessions, and yield each when its user is done. Raises `TokenRefused` or `ControlError`."""
        waiting: set[asyncio.Task[FinishedSession]] = set()
        for number, session in enumerate(sessions, 1):
            if len(waiting) >= self._at_once:
                done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    yield task.result()
            waiting.add(asyncio.create_task(self._run(number, session)))
        for last in asyncio.as_completed(waiting):
            yield await last

    async def max_reads(self) -> int:
        """The most GetResult reads that the simulator has counted for one biz_id."""
        return int((await self.control.stats())["max_reads"])

    async def _run(self, number: int, session: Session) -> FinishedSession:
        token = await get_token(self._http, self._base_url, self._token_fields(session))
        await self.control.assign(token.biz_id, session.scenario, session.faults)
        if session.scenario == "timeout":
            await self.control.time_out(token.biz_id)
        else:
            await self._browser.verify(token.token, returns=session.returns)
        return FinishedSession(token.biz_id, session, number)

    def _token_fields(self, session: Session) -> dict[str, str]:
        number = uuid4().hex
        return {
            "api_key": DEMO_KEY,
            "api_secret": DEMO_SECRET,
            "notify_url": self._stack.notify_url,
            "return_url": self._stack.return_url,
            "action_http_method": session.method,
            "biz_no": f"demo-{number}",
            "biz_extra_data": '{"customer": 7}',
            "comparison_type": "0",
            "uuid": number,
            "image_ref1": "a reference photo",
            "get_fail_reason": "1",
            "return_multifaces_tag": "1",
        }
