"""The control surface of a running simulator, seen from a test or a demo."""

import json
from typing import Any, cast

from pyreqwest.client import Client

from deploy.simulator.model.faults import Assignment, Faults, ResultFault


class ControlFailed(Exception):
    """The control surface refused; the text says why."""


class Remote:
    """What is to happen in a simulator, and what it has seen."""

    def __init__(self, http: Client, url: str) -> None:
        """`url` is the simulator's own, without the vendor's base path: `http://127.0.0.1:8029`."""
        self._http = http
        self._url = f"{url}/simulator"

    async def assign(self, biz_id: str, scenario: str | None = None, faults: Faults | None = None) -> None:
        """Give a session its scenario and faults, best before its user comes."""
        assignment = Assignment(scenario=scenario, faults=faults or Faults())
        await self._call("POST", f"/sessions/{biz_id}", assignment.model_dump_json())

    async def time_out(self, biz_id: str) -> None:
        """Let a session whose user has not come time out now."""
        await self._call("POST", f"/sessions/{biz_id}/timeout")

    async def set_faults(self, *get_result: ResultFault) -> None:
        """Replace the faults that befall GetResult whoever asks; none: end them."""
        faults = [fault.model_dump() for fault in get_result]
        await self._call("POST", "/faults", json.dumps({"get_result": faults}))

    async def session(self, biz_id: str) -> dict[str, Any]:
        """One session as the simulator saw it: status, reads, calls, callbacks and what they got."""
        return cast(dict[str, Any], await self._call("GET", f"/sessions/{biz_id}"))

    async def sessions(self) -> list[dict[str, Any]]:
        """Every session that is not forgotten, oldest first."""
        found: list[dict[str, Any]] = []
        while page := await self._call("GET", f"/sessions?offset={len(found)}&limit=1000"):
            found += page
        return found

    async def stats(self) -> dict[str, Any]:
        """The totals since the simulator's start."""
        return cast(dict[str, Any], await self._call("GET", "/stats"))

    async def _call(self, method: str, path: str, body: str = "") -> Any:
        answer = await self._http.request(method, self._url + path).body_text(body).build().send()
        text = await answer.text()
        if answer.status != 200:
            raise ControlFailed(text)
        return json.loads(text)
