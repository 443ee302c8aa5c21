"""FaceID's API: get_token, do and get_result."""

import time

from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from deploy.simulator.model.api_errors import ApiError, bad_argument
from deploy.simulator.model.callbacks import RedirectReturn
from deploy.simulator.model.scenarios import SCENARIOS, Document
from deploy.simulator.model.sessions import Session, Sessions
from deploy.simulator.model.settings import BASE_PATH, SimulatorSettings
from deploy.simulator.model.token_request import parse_token_request
from deploy.simulator.server.accounts import authenticate
from deploy.simulator.server.flow import Flow
from deploy.simulator.server.get_result import GetResult, InjectedFault
from deploy.simulator.server.pages import CLOSED, NO_SUCH_TOKEN, form_page
from deploy.simulator.server.responses import ApiCall
from deploy.simulator.server.stats import Stats

MAX_FIELD_BYTES = 4 * 1024 * 1024


class VendorApi:
    """The handlers of the API's three calls."""

    def __init__(
        self, settings: SimulatorSettings, sessions: Sessions, stats: Stats, flow: Flow, get_result: GetResult
    ) -> None:
        self._settings = settings
        self._sessions = sessions
        self._stats = stats
        self._flow = flow
        self._get_result = get_result

    def routes(self) -> list[Route]:
        """The routes of the three calls."""
        return [
            Route(f"{BASE_PATH}/get_token", self.get_token, methods=["POST"]),
            Route(f"{BASE_PATH}/do", self.do, methods=["GET"]),
            Route(f"{BASE_PATH}/get_result", self.get_result, methods=["GET"]),
        ]

    async def get_token(self, request: Request) -> Response:
        """Create a session and answer with its token."""
        call = self._call()
        try:
            session = self._create_session(await _form(request))
        except ApiError as error:
            self._stats.token_refusals[error.code] += 1
            return call.error(error)
        answer: Document = {
            "biz_no": session.request.biz_no,
            "expired_time": int(session.created_at + self._settings.token_ttl_seconds),
            "biz_id": session.biz_id,
            "token": session.token,
        }
        return call.document(answer)

    async def do(self, request: Request) -> Response:
        """Play the user's visit to the liveness page. `user` chooses the scenario."""
        user = request.query_params.get("user", "")
        if user and user not in SCENARIOS:
            return PlainTextResponse(f"No such scenario. The scenarios are: {', '.join(SCENARIOS)}", 400)
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
        """Answer with the result, an error or a fault."""
        call = self._call()
        try:
            document = await self._get_result.get(request.query_params)
        except ApiError as error:
            self._stats.answers[error.code] += 1
            return call.error(error)
        except InjectedFault as injected:
            self._stats.answers[injected.fault.label] += 1
            return call.fault(injected.fault)
        self._stats.answers["OK"] += 1
        return call.document(document)

    async def unknown(self, _: Request) -> Response:
        """Answer calls that do not exist, or not with this method."""
        return self._call().error(ApiError("API_NOT_FOUND"))

    def _call(self) -> ApiCall:
        return ApiCall(self._sessions.unique_id(), time.perf_counter())

    def _create_session(self, fields: dict[str, str]) -> Session:
        api_key = authenticate(self._settings, fields)
        session = self._sessions.create(api_key, parse_token_request(fields, any_port=self._settings.any_port))
        self._stats.created += 1
        self._flow.start_timeout(session)
        return session


async def _form(request: Request) -> dict[str, str]:
    """The form fields in either encoding. A file that is not empty becomes the text `uploaded`."""
    try:
        async with request.form(max_files=4, max_fields=64, max_part_size=MAX_FIELD_BYTES) as form:
            return {
                name: ("uploaded" if value.size else "") if isinstance(value, UploadFile) else value
                for name, value in form.items()
            }
    except HTTPException as error:
        raise bad_argument("form") from error
