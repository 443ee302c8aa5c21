"""The control API of the simulator: set scenarios and faults, read sessions and totals.

Its answers contain no api_secret, sign, data or biz_extra_data.
"""

from collections.abc import Callable
from dataclasses import asdict
from typing import TypeVar

from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from deploy.simulator.model.faults import Assignment, FaultQueue, GlobalFaults
from deploy.simulator.model.scenarios import SCENARIOS
from deploy.simulator.model.sessions import Session, Sessions
from deploy.simulator.server.flow import Flow
from deploy.simulator.server.get_result import GetResult
from deploy.simulator.server.stats import Stats

CONTROL_PATH = "/simulator"
M = TypeVar("M", bound=BaseModel)


class ControlApi:
    """The handlers of the control API."""

    def __init__(self, sessions: Sessions, stats: Stats, flow: Flow, get_result: GetResult) -> None:
        self._sessions = sessions
        self._stats = stats
        self._flow = flow
        self._get_result = get_result

    def routes(self) -> list[Route]:
        """The routes, all below `/simulator`."""
        return [
            Route(f"{CONTROL_PATH}/scenarios", self.scenarios, methods=["GET"]),
            Route(f"{CONTROL_PATH}/sessions", self.sessions, methods=["GET"]),
            Route(f"{CONTROL_PATH}/sessions/{{biz_id}}", self.session, methods=["GET"]),
            Route(f"{CONTROL_PATH}/sessions/{{biz_id}}", self.assign, methods=["POST"]),
            Route(f"{CONTROL_PATH}/sessions/{{biz_id}}/timeout", self.time_out, methods=["POST"]),
            Route(f"{CONTROL_PATH}/faults", self.faults, methods=["GET"]),
            Route(f"{CONTROL_PATH}/faults", self.set_faults, methods=["POST"]),
            Route(f"{CONTROL_PATH}/stats", self.stats, methods=["GET"]),
        ]

    async def scenarios(self, _: Request) -> Response:
        """Every scenario and its meaning."""
        return JSONResponse({name: scenario.meaning for name, scenario in SCENARIOS.items()})

    async def sessions(self, request: Request) -> Response:
        """Sessions in the order of their creation: `limit` (1000) of them after the first `offset` (0)."""
        offset, limit = _number(request, "offset", 0), _number(request, "limit", 1000)
        return JSONResponse([_view(session) for session in self._sessions.page(offset, limit)])

    async def session(self, request: Request) -> Response:
        """One session."""
        return JSONResponse(_view(self._find(request)))

    async def assign(self, request: Request) -> Response:
        """Set a session's scenario and faults. They also change the result that GetResult returns later."""
        session = self._find(request)
        session.assign(await _body(request, Assignment.model_validate_json))
        return JSONResponse(_view(session))

    async def time_out(self, request: Request) -> Response:
        """Let a flow time out now, as if its user never came. 409 when the page was opened, or after a time-out."""
        session = self._find(request)
        if not session.is_unopened:
            raise HTTPException(409, "the session was opened already, or has timed out")
        await self._flow.time_out(session)
        return JSONResponse(_view(session))

    async def faults(self, _: Request) -> Response:
        """The remaining GetResult faults of all sessions."""
        return JSONResponse({"get_result": self._get_result.faults.left()})

    async def set_faults(self, request: Request) -> Response:
        """Replace the GetResult faults of all sessions. An empty list removes them."""
        self._get_result.faults = FaultQueue((await _body(request, GlobalFaults.model_validate_json)).get_result)
        return await self.faults(request)

    async def stats(self, _: Request) -> Response:
        """The totals since the start."""
        return JSONResponse(self._stats.totals())

    def _find(self, request: Request) -> Session:
        session = self._sessions.find(request.path_params["biz_id"])
        if session is None:
            raise HTTPException(404, "no such session")
        return session


def _view(session: Session) -> dict[str, object]:
    return {
        "biz_id": session.biz_id,
        "biz_no": session.request.biz_no,
        "scenario": session.scenario,
        "status": session.status,
        "faults": session.faults.model_dump(exclude_defaults=True),
        "created_at": session.created_at,
        "opened_at": session.opened_at,
        "finished_at": session.finished_at,
        "calls": session.calls,
        "reads": session.reads,
        "returned": session.returned,
        "callbacks": [asdict(callback) for callback in session.callbacks],
    }


def _number(request: Request, name: str, default: int) -> int:
    text = request.query_params.get(name, str(default))
    if not text.isdecimal():
        raise HTTPException(400, f"{name}: must be a whole number")
    return int(text)


async def _body(request: Request, read: Callable[[bytes], M]) -> M:
    try:
        return read(await request.body())
    except ValidationError as error:
        raise HTTPException(400, str(error)) from error
