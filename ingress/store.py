"""Store callbacks in the queue `callbacks`.

Callbacks that arrive during one round trip are published together in the next (group commit).
"""

import asyncio
import time
from collections.abc import Sequence

import structlog

from ingress.admission import Admission
from ingress.metrics import BACKLOG, STAGE_BACKLOG
from ingress.watch import Watch
from shared.group_commit import GroupCommit
from shared.messaging.async_publisher import AsyncPublisher
from shared.messaging.envelope import Envelope
from shared.messaging.message import Message
from shared.messaging.publisher import NotStored
from shared.messaging.topology import CALLBACKS, STAGES, Stage, queue_name

log = structlog.get_logger()
MEASURE_INTERVAL = 0.5
"""Seconds between two measurements of the backlog and the memory."""
STALE_SECONDS = 5.0
"""A broker that could not be measured for so long does not answer."""


class Store:
    """Stores envelopes. Refuses them at once while the backlog or a server's memory is at its limit."""

    def __init__(
        self, publisher: AsyncPublisher, watch: Watch, admission: Admission, prefix: str, timeout: float
    ) -> None:
        """Make a store; nothing connects yet.

        Args:
            publisher: The connection to the broker.
            watch: Measures the backlog and the memory.
            admission: Decides from them what can be stored.
            prefix: Of the queues' names.
            timeout: Seconds that `put` may take.
        """
        self._publisher = publisher
        self._watch = watch
        self._admission = admission
        self._queue = queue_name(prefix, CALLBACKS)
        self._timeout = timeout
        self._group: GroupCommit[Message, None] = GroupCommit(self._flush)
        self._suspended = False
        self._fault = "the broker has not answered yet"
        self._measured_at = time.monotonic()
        self.stage_backlog: dict[Stage, int] = dict.fromkeys(STAGES, 0)
        """Messages that wait for each stage or are in work there, as last measured."""
        self.backlog = 0
        """Their sum."""

    def check(self, size: int, *, unsigned: bool = False) -> None:
        """Raise `NotStored` with the cause if a callback of `size` bytes can't be stored now."""
        if cause := self._admission.refusal(size, unsigned=unsigned):
            raise NotStored(cause)

    async def put(self, envelope: Envelope) -> None:
        """Store an envelope; returns when the broker holds it. Raises `NotStored` with the cause."""
        size = len(envelope.body) + len(envelope.query)
        self.check(size, unsigned=envelope.method == "GET")
        self._admission.begin(size)
        stored = self._group.submit(envelope.to_message(self._queue))
        timer = asyncio.get_running_loop().call_later(self._timeout, _time_out, stored)
        try:
            await stored
        finally:
            timer.cancel()
            self._admission.end(size)

    async def measure(self) -> None:
        """Measure the backlog and the memory once. Raises `NotStored` when the broker can't be asked."""
        counted = self._admission.ended
        depths, projected = await self._watch.measure()
        self.stage_backlog = dict(zip(STAGES, depths, strict=True))
        self.backlog = sum(depths)
        BACKLOG.set(self.backlog)
        for stage, depth in self.stage_backlog.items():
            STAGE_BACKLOG.labels(stage).set(depth)
        self._admission.update(self.backlog, projected, counted)

    async def monitor(self) -> None:
        """Measure every `MEASURE_INTERVAL` seconds until cancelled, and log when storing stops and resumes."""
        while True:
            try:
                await self.measure()
            except NotStored as error:
                self._note(str(error))
            else:
                self._note(self._admission.refusal(0))
            await asyncio.sleep(MEASURE_INTERVAL)

    def fault(self) -> str:
        """Why callbacks can't be stored, as the monitor measured last; empty when they can. Any thread may ask."""
        age = time.monotonic() - self._measured_at
        return f"the broker has not answered for {age:.0f} s" if age > STALE_SECONDS else self._fault

    def time(self) -> float:
        """Unix seconds by the clock of the ledger's Redis. Until its first measurement: by this machine's clock."""
        return self._watch.clock()

    async def close(self) -> None:
        """Close the connections."""
        await self._publisher.close()
        await self._watch.close()

    async def _flush(self, messages: Sequence[Message]) -> Sequence[NotStored | None]:
        started = time.perf_counter()
        answers = await self._publisher.publish(messages)
        log.debug(
            "batch.stored", count=answers.count(None), elapsed_ms=round((time.perf_counter() - started) * 1000, 2)
        )
        return answers

    def _note(self, cause: str) -> None:
        """Keep what was measured. Log once when callbacks can't be stored any more, and once when they can again."""
        self._fault, self._measured_at = cause, time.monotonic()
        if bool(cause) != self._suspended:
            self._suspended = bool(cause)
            if cause:
                log.error("ingress.suspended", why=cause)
            else:
                log.info("ingress.resumed")


def _time_out(stored: asyncio.Future[None]) -> None:
    if not stored.done():
        stored.set_exception(NotStored("timeout"))
