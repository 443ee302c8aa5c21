"""Plays a verification from the opened page to the last callback."""

import asyncio
from collections.abc import Coroutine

from deploy.simulator.model.callbacks import Notice, Return, browser_return, notices_at_the_end, notices_on_the_way
from deploy.simulator.model.sessions import Callback, Clock, Session, Sessions
from deploy.simulator.model.settings import SimulatorSettings
from deploy.simulator.server.callback_sender import Courier
from deploy.simulator.server.stats import Stats


class Flow:
    """Runs sessions; what must go on after the browser has left runs in tasks of its own until `close`."""

    def __init__(
        self, settings: SimulatorSettings, sessions: Sessions, stats: Stats, courier: Courier, clock: Clock
    ) -> None:
        self._settings = settings
        self._sessions = sessions
        self._stats = stats
        self._courier = courier
        self._clock = clock
        self._tasks: set[asyncio.Task[None]] = set()

    def expect(self, session: Session) -> None:
        """Wait for the user of a new session; a user who never comes is a TIMEOUT, without a browser."""
        session.timer = asyncio.get_running_loop().call_later(
            self._settings.flow_timeout_seconds, lambda: self._go_on(self.time_out(session))
        )

    async def play(self, session: Session) -> Return | None:
        """The user goes through an opened session; what the browser is to do then.

        The first attempt of every notify is over by then, unless it is to be late.
        """
        self._stats.opened += 1
        await self._notify(session, notices_on_the_way(session, self._secret(session)))
        await asyncio.sleep(self._settings.flow_seconds)
        await self._finish(session)
        await asyncio.sleep(session.faults.return_late_seconds)
        back = browser_return(session, self._secret(session), raw_comma=self._settings.raw_comma)
        if back:
            session.returned = session.order.return_method
            self._stats.returns[session.returned] += 1
        return back

    async def time_out(self, session: Session) -> None:
        """Nobody has opened the page in time: TIMEOUT is notified, and no browser returns.

        Nothing happens when somebody has opened it, or when it has timed out before.
        """
        if session.is_awaiting_its_user:
            session.scenario = "timeout"
            await self._finish(session)

    async def close(self) -> None:
        """Give up what still waits to be sent."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _finish(self, session: Session) -> None:
        self._sessions.finish(session)
        self._stats.finished += 1
        notices = notices_at_the_end(session, self._secret(session))
        if session.faults.notify_late_seconds:
            self._go_on(self._notify_late(session, notices))
        else:
            await self._notify(session, notices)

    async def _notify_late(self, session: Session, notices: list[Notice]) -> None:
        await asyncio.sleep(session.faults.notify_late_seconds)
        await self._notify(session, notices)

    async def _notify(self, session: Session, notices: list[Notice]) -> None:
        for notice in notices:
            if not await self._post(session, notice, attempt=1) and notice.kind == "notify":
                self._go_on(self._retry(session, notice))

    async def _retry(self, session: Session, notice: Notice) -> None:
        for attempt in range(2, self._settings.notify_attempts + 1):
            await asyncio.sleep(self._settings.notify_retry_seconds)
            if await self._post(session, notice, attempt):
                return

    async def _post(self, session: Session, notice: Notice, attempt: int) -> bool:
        answer = await self._courier.post(session.order.notify_url, notice.body)
        callback = Callback(notice.kind, notice.status, attempt, answer, self._clock())
        session.callbacks.append(callback)
        self._stats.count_callback(callback)
        return callback.accepted

    def _secret(self, session: Session) -> str:
        return self._settings.accounts[session.api_key].get_secret_value()

    def _go_on(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
