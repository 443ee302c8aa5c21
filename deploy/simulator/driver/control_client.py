"""A client of the simulator's control API, for tests and the demo."""

import json
from typing import Any, cast

from pyreqwest.client import Client

from deploy.simulator.model.faults import Assignment, Faults, ResultFault


class ControlError(Exception):
    """The control API answered with an error. The text says why."""


class ControlClient:
    """Sets scenarios and faults, and reads what the simulator has seen. Every method raises `ControlError`."""

    def __init__(self, http: Client, url: str) -> None:
        """`url` is the simulator's address without the vendor's path: `http://127.0.0.1:8029`."""
        self._http = http
        self._url = f"{url}/simulator"

    async def assign(self, biz_id: str, scenario: str | None = None, faults: Faults | None = None) -> None:
        """Set a session's scenario and faults. Call it before the user opens the page."""
        assignment = Assignment(scenario=scenario, faults=faults or Faults())
        await self._call("POST", f"/sessions/{biz_id}", assignment.model_dump_json())

    async def time_out(self, biz_id: str) -> None:
        """Let a session time out now. Its user must not have opened the page."""
        await self._call("POST", f"/sessions/{biz_id}/timeout")

    async def set_faults(self, *get_result: ResultFault) -> None:
        """Replace the GetResult faults of all sessions. Without arguments: remove them."""
        faults = [fault.model_dump() for fault in get_result]
        await self._call("POST", "/faults", json.dumps({"get_result": faults}))

    async def session(self, biz_id: str) -> dict[str, Any]:
        """One session: its status, GetResult calls and reads, and its callbacks with the answers they got."""
        return cast(dict[str, Any], await self._call("GET", f"/sessions/{biz_id}"))

    async def sessions(self) -> list[dict[str, Any]]:
        """Every session that the simulator remembers, oldest first."""
        found: list[dict[str, Any]] = []
        while page := await self._call("GET", f"/sessions?offset={len(found)}&limit=1000"):
            found += page
        return found

    async def stats(self) -> dict[str, Any]:
        """The totals since the simulator was started."""
        return cast(dict[str, Any], await self._call("GET", "/stats"))

    async def _call(self, method: str, path: str, body: str = "") -> Any:
        answer = await self._http.request(method, self._url + path).body_text(body).build().send()
        text = await answer.text()
        if answer.status != 200:
            raise ControlError(text)
        return json.loads(text)
