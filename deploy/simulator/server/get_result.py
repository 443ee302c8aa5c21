"""GetResult: three reads, one day, and whatever is to go wrong."""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from deploy.simulator.model.faults import MAY_HAVE_READ, FaultQueue, ResultFault
from deploy.simulator.model.refusals import Refused, bad, missing
from deploy.simulator.model.scenarios import Document
from deploy.simulator.model.sessions import Session, Sessions
from deploy.simulator.model.settings import SimulatorSettings
from deploy.simulator.server.accounts import authenticate
from deploy.simulator.server.stats import Stats

IMAGE = "/9j/4AAQSkZJRgABAQEASABIAAD/2wBDAP//////////////////////////////////////////////////////////2Q=="
"""Not a person: a few bytes that look like the base64 of a JPEG."""


class Faulty(Exception):
    """The call is to go wrong in the way of `fault`."""

    def __init__(self, fault: ResultFault) -> None:
        super().__init__(fault.kind)
        self.fault = fault


class Results:
    """Answers GetResult, and counts what the vendor would count."""

    def __init__(self, settings: SimulatorSettings, sessions: Sessions, stats: Stats) -> None:
        self._settings = settings
        self._sessions = sessions
        self._stats = stats
        self._in_flight: dict[str, int] = {}
        self.faults = FaultQueue()
        """Those that befall whoever asks."""

    async def get(self, arguments: Mapping[str, str]) -> Document:
        """The result that the arguments ask for; raises `Refused`, or `Faulty` where a fault is due."""
        self._stats.calls += 1
        session = self._find(arguments)
        if session:
            session.calls += 1
        api_key = authenticate(self._settings, arguments)
        _check(arguments)
        with self._counted(api_key):
            await self._befall(session)
            return await self._read(session, api_key, arguments)

    def _find(self, arguments: Mapping[str, str]) -> Session | None:
        return self._sessions.find(arguments.get("biz_id", ""))

    @contextmanager
    def _counted(self, api_key: str) -> Iterator[None]:
        now = self._in_flight.get(api_key, 0)
        if self._settings.concurrency_limit and now >= self._settings.concurrency_limit:
            raise Refused("CONCURRENCY_LIMIT_EXCEEDED")
        self._in_flight[api_key] = now + 1
        self._stats.max_in_flight = max(self._stats.max_in_flight, now + 1)
        try:
            yield
        finally:
            self._in_flight[api_key] -= 1

    async def _befall(self, session: Session | None) -> None:
        """Let the next fault happen, if there is one: the session's own before the global ones."""
        fault = (session.result_faults.next() if session else None) or self.faults.next()
        if fault is None:
            return
        if session and fault.kind in MAY_HAVE_READ and self._settings.failed_reads_count:
            self._stats.count_read(session)
        await asyncio.sleep(fault.delay_ms / 1000)
        if fault.kind != "slow":
            raise Faulty(fault)

    async def _read(self, session: Session | None, api_key: str, arguments: Mapping[str, str]) -> Document:
        if session is None or session.api_key != api_key:
            raise Refused("RESULT_NOT_FOUND")
        self._stats.count_read(session)
        destroyed = self._sessions.is_destroyed(session)
        result = session.result_document(verify_time_wanted=arguments.get("return_verify_time") == "1")
        await asyncio.sleep(self._settings.get_result_seconds)
        if destroyed:
            raise Refused("DATA_DESTROYED")
        if arguments.get("return_image") == "1" and "liveness_result" in result:
            result["images"] = {"image_best": IMAGE}
        return result


def _check(arguments: Mapping[str, str]) -> None:
    if not arguments.get("biz_id"):
        raise missing("biz_id")
    for name in ("return_verify_time", "return_image"):
        if arguments.get(name, "0") not in {"0", "1"}:
            raise bad(name)
