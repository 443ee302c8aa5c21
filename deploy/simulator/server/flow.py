"""Run a session from the opened page to its last callback."""

import asyncio
from collections.abc import Coroutine

from deploy.simulator.model.callbacks import (
    BrowserReturn,
    OutgoingCallback,
    browser_return,
    callbacks_at_end,
    callbacks_before_end,
)
from deploy.simulator.model.sessions import CallbackAttempt, Clock, Session, Sessions
from deploy.simulator.model.settings import SimulatorSettings
from deploy.simulator.server.callback_sender import CallbackSender
from deploy.simulator.server.stats import Stats


class Flow:
    """Runs sessions. Late callbacks and retries run in tasks, until `close`."""

    def __init__(
        self, settings: SimulatorSettings, sessions: Sessions, stats: Stats, sender: CallbackSender, clock: Clock
    ) -> None:
        self._settings = settings
        self._sessions = sessions
        self._stats = stats
        self._sender = sender
        self._clock = clock
        self._tasks: set[asyncio.Task[None]] = set()

    def start_timeout(self, session: Session) -> None:
        """Let a new session time out if its page is not opened in time."""
        session.timer = asyncio.get_running_loop().call_later(
            self._settings.flow_timeout_seconds, lambda: self._run_in_background(self.time_out(session))
        )

    async def play(self, session: Session) -> BrowserReturn | None:
        """Run an opened session. Returns how the browser goes back to the customer; None: it does not.

        The first attempt of each notify is done before this returns, unless `notify_late_seconds` is set.
        """
        self._stats.opened += 1
        await self._notify(session, callbacks_before_end(session, self._secret(session)))
        await asyncio.sleep(self._settings.flow_seconds)
        await self._finish(session)
        await asyncio.sleep(session.faults.return_late_seconds)
        back = browser_return(session, self._secret(session), raw_comma=self._settings.raw_comma)
        if back:
            session.returned = session.request.return_method
            self._stats.returns[session.returned] += 1
        return back

    async def time_out(self, session: Session) -> None:
        """End a session with TIMEOUT: a notify is sent, and no browser returns.

        Does nothing when the page was opened, or the session has already timed out.
        """
        if session.is_unopened:
            session.scenario = "timeout"
            await self._finish(session)

    async def close(self) -> None:
        """Cancel late callbacks and retries."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _finish(self, session: Session) -> None:
        self._sessions.finish(session)
        self._stats.finished += 1
        callbacks = callbacks_at_end(session, self._secret(session))
        if session.faults.notify_late_seconds:
            self._run_in_background(self._notify_late(session, callbacks))
        else:
            await self._notify(session, callbacks)

    async def _notify_late(self, session: Session, callbacks: list[OutgoingCallback]) -> None:
        await asyncio.sleep(session.faults.notify_late_seconds)
        await self._notify(session, callbacks)

    async def _notify(self, session: Session, callbacks: list[OutgoingCallback]) -> None:
        for callback in callbacks:
            if not await self._post(session, callback, attempt=1) and callback.kind == "notify":
                self._run_in_background(self._retry(session, callback))

    async def _retry(self, session: Session, callback: OutgoingCallback) -> None:
        for attempt in range(2, self._settings.notify_attempts + 1):
            await asyncio.sleep(self._settings.notify_retry_seconds)
            if await self._post(session, callback, attempt):
                return

    async def _post(self, session: Session, callback: OutgoingCallback, attempt: int) -> bool:
        answer = await self._sender.post(session.request.notify_url, callback.body)
        done = CallbackAttempt(callback.kind, callback.status, attempt, answer, self._clock())
        session.callbacks.append(done)
        self._stats.count_callback(done)
        return done.accepted

    def _secret(self, session: Session) -> str:
        return self._settings.accounts[session.api_key].get_secret_value()

    def _run_in_background(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
