"""FaceID's own paths: get_token, do, get_result."""

import time

from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from deploy.simulator.model.callbacks import RedirectReturn
from deploy.simulator.model.refusals import Refused, bad
from deploy.simulator.model.scenarios import SCENARIOS, Document
from deploy.simulator.model.sessions import Session, Sessions
from deploy.simulator.model.settings import BASE_PATH, SimulatorSettings
from deploy.simulator.model.token_request import read_order
from deploy.simulator.server.accounts import authenticate
from deploy.simulator.server.answers import Call
from deploy.simulator.server.flow import Flow
from deploy.simulator.server.get_result import Faulty, Results
from deploy.simulator.server.pages import CLOSED, NO_SUCH_TOKEN, form_page
from deploy.simulator.server.stats import Stats

MAX_FIELD_BYTES = 4 * 1024 * 1024


class Vendor:
    """The handlers of the vendor's three calls."""

    def __init__(
        self, settings: SimulatorSettings, sessions: Sessions, stats: Stats, flow: Flow, results: Results
    ) -> None:
        self._settings = settings
        self._sessions = sessions
        self._stats = stats
        self._flow = flow
        self._results = results

    def routes(self) -> list[Route]:
        """The three calls."""
        return [
            Route(f"{BASE_PATH}/get_token", self.get_token, methods=["POST"]),
            Route(f"{BASE_PATH}/do", self.do, methods=["GET"]),
            Route(f"{BASE_PATH}/get_result", self.get_result, methods=["GET"]),
        ]

    async def get_token(self, request: Request) -> Response:
        """A token for one verification."""
        call = self._call()
        try:
            session = self._order(await _form(request))
        except Refused as refused:
            self._stats.token_refusals[refused.code] += 1
            return call.refusal(refused)
        answer: Document = {
            "biz_no": session.order.biz_no,
            "expired_time": int(session.created_at + self._settings.token_ttl_seconds),
            "biz_id": session.biz_id,
            "token": session.token,
        }
        return call.answer(answer)

    async def do(self, request: Request) -> Response:
        """The user's browser opens the page, and comes away with the way back."""
        user = request.query_params.get("user", "")
        if user and user not in SCENARIOS:
            return PlainTextResponse(f"No such user. There are: {', '.join(SCENARIOS)}", 400)
        session = self._sessions.open(request.query_params.get("token", ""))
        if session is None:
            return HTMLResponse(NO_SUCH_TOKEN, 400)
        session.scenario = user or session.scenario
        back = await self._flow.play(session)
        if back is None:
            return HTMLResponse(CLOSED)
        if isinstance(back, RedirectReturn):
            return RedirectResponse(back.location, 302)
        return HTMLResponse(form_page(back))

    async def get_result(self, request: Request) -> Response:
        """The result, a refusal, or what a fault makes of it."""
        call = self._call()
        try:
            document = await self._results.get(request.query_params)
        except Refused as refused:
            self._stats.answers[refused.code] += 1
            return call.refusal(refused)
        except Faulty as faulty:
            self._stats.answers[faulty.fault.label] += 1
            return call.fault(faulty.fault)
        self._stats.answers["OK"] += 1
        return call.answer(document)

    async def unknown(self, _: Request) -> Response:
        """There is no such call, or not by this method."""
        return self._call().refusal(Refused("API_NOT_FOUND"))

    def _call(self) -> Call:
        return Call(self._sessions.unique_id(), time.perf_counter())

    def _order(self, fields: dict[str, str]) -> Session:
        api_key = authenticate(self._settings, fields)
        session = self._sessions.create(api_key, read_order(fields, any_port=self._settings.any_port))
        self._stats.created += 1
        self._flow.expect(session)
        return session


async def _form(request: Request) -> dict[str, str]:
    """The fields of a form of either encoding; of an uploaded file only whether there is something in it."""
    try:
        async with request.form(max_files=4, max_fields=64, max_part_size=MAX_FIELD_BYTES) as form:
            return {
                name: ("uploaded" if value.size else "") if isinstance(value, UploadFile) else value
                for name, value in form.items()
            }
    except HTTPException as error:
        raise bad("form") from error
