"""GetResult: its limits (three reads, one day), and its faults."""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from deploy.simulator.model.api_errors import ApiError, bad_argument, missing_argument
from deploy.simulator.model.faults import MAY_HAVE_READ, FaultQueue, ResultFault
from deploy.simulator.model.scenarios import Document
from deploy.simulator.model.sessions import Session, Sessions
from deploy.simulator.model.settings import SimulatorSettings
from deploy.simulator.server.accounts import authenticate
from deploy.simulator.server.stats import Stats

IMAGE = "/9j/4AAQSkZJRgABAQEASABIAAD/2wBDAP//////////////////////////////////////////////////////////2Q=="
"""A few bytes in base64 that look like a JPEG. No person is in it."""


class InjectedFault(Exception):
    """The call has to fail as `fault` says."""

    def __init__(self, fault: ResultFault) -> None:
        super().__init__(fault.kind)
        self.fault = fault


class GetResult:
    """Answers GetResult calls and counts the reads."""

    def __init__(self, settings: SimulatorSettings, sessions: Sessions, stats: Stats) -> None:
        self._settings = settings
        self._sessions = sessions
        self._stats = stats
        self._in_flight: dict[str, int] = {}
        self.faults = FaultQueue()
        """Faults of all sessions."""

    async def get(self, arguments: Mapping[str, str]) -> Document:
        """The result of the session in the arguments. Raises `ApiError`, or `InjectedFault` for a fault."""
        self._stats.calls += 1
        session = self._find(arguments)
        if session:
            session.calls += 1
        api_key = authenticate(self._settings, arguments)
        _check(arguments)
        with self._limited(api_key):
            await self._apply_next_fault(session)
            return await self._read(session, api_key, arguments)

    def _find(self, arguments: Mapping[str, str]) -> Session | None:
        return self._sessions.find(arguments.get("biz_id", ""))

    @contextmanager
    def _limited(self, api_key: str) -> Iterator[None]:
        calls = self._in_flight.get(api_key, 0)
        if self._settings.concurrency_limit and calls >= self._settings.concurrency_limit:
            raise ApiError("CONCURRENCY_LIMIT_EXCEEDED")
        self._in_flight[api_key] = calls + 1
        self._stats.max_in_flight = max(self._stats.max_in_flight, calls + 1)
        try:
            yield
        finally:
            self._in_flight[api_key] -= 1

    async def _apply_next_fault(self, session: Session | None) -> None:
        """Apply the next fault, if there is one. The session's own faults come before those of all sessions."""
        fault = (session.result_faults.next() if session else None) or self.faults.next()
        if fault is None:
            return
        if session and fault.kind in MAY_HAVE_READ and self._settings.failed_reads_count:
            self._stats.count_read(session)
        await asyncio.sleep(fault.delay_ms / 1000)
        if fault.kind != "slow":
            raise InjectedFault(fault)

    async def _read(self, session: Session | None, api_key: str, arguments: Mapping[str, str]) -> Document:
        if session is None or session.api_key != api_key:
            raise ApiError("RESULT_NOT_FOUND")
        self._stats.count_read(session)
        destroyed = self._sessions.is_destroyed(session)
        result = session.result_document(verify_time_wanted=arguments.get("return_verify_time") == "1")
        await asyncio.sleep(self._settings.get_result_seconds)
        if destroyed:
            raise ApiError("DATA_DESTROYED")
        if arguments.get("return_image") == "1" and "liveness_result" in result:
            result["images"] = {"image_best": IMAGE}
        return result


def _check(arguments: Mapping[str, str]) -> None:
    if not arguments.get("biz_id"):
        raise missing_argument("biz_id")
    for name in ("return_verify_time", "return_image"):
        if arguments.get(name, "0") not in {"0", "1"}:
            raise bad_argument(name)
