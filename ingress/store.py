"""Where the ingress puts callbacks: a group commit in front of the queue `callbacks`."""

import asyncio
import time
from collections.abc import Sequence

import structlog

from shared.group_commit import GroupCommit
from shared.messaging.async_publisher import AsyncPublisher
from shared.messaging.envelope import Envelope
from shared.messaging.message import Message
from shared.messaging.publisher import NotStored
from shared.messaging.topology import CALLBACKS, INNER_QUEUES, queue_name

log = structlog.get_logger()
DEPTH_INTERVAL = 0.5
"""Seconds between two looks at the backlog."""


class Store:
    """Stores envelopes; says no at once while the backlog or the broker's memory is over its limit."""

    def __init__(
        self, publisher: AsyncPublisher, prefix: str, max_backlog: int, max_memory_share: float, timeout: float
    ) -> None:
        """`max_memory_share` of the broker's limit, 0 to 1; `timeout`: seconds that a callback may wait."""
        self._publisher = publisher
        self._queue = queue_name(prefix, CALLBACKS)
        self._inner = tuple(queue_name(prefix, queue) for queue in INNER_QUEUES)
        self._max_backlog = max_backlog
        self._max_memory_share = max_memory_share
        self._timeout = timeout
        self._posts: GroupCommit[Message, None] = GroupCommit(self._flush)
        self._failing = False
        self.backlog = 0
        self.memory_share = 0.0

    async def put(self, envelope: Envelope) -> None:
        """Return when the queue holds the envelope; raises `NotStored`."""
        if limit := self._over():
            raise NotStored(limit)
        stored = self._posts.submit(envelope.to_message(self._queue))
        deadline = asyncio.get_running_loop().call_later(self._timeout, _give_up, stored)
        try:
            await stored
        finally:
            deadline.cancel()

    async def measure(self) -> None:
        """Look at the backlog and the memory once; raises `NotStored`."""
        self.backlog = await self._publisher.depth(self._inner)
        self.memory_share = await self._publisher.fullness()

    async def watch(self) -> None:
        """Keep an eye on them, for ever."""
        while True:
            try:
                await self.measure()
            except NotStored as error:
                self._note(str(error))
            else:
                self._note(self._over())
            await asyncio.sleep(DEPTH_INTERVAL)

    async def ready(self) -> bool:
        """Whether a callback could be stored now."""
        try:
            async with asyncio.timeout(self._timeout):
                await self.measure()
        except (NotStored, TimeoutError):
            return False
        return not self._over()

    async def close(self) -> None:
        """Let go of the broker."""
        await self._publisher.close()

    def _over(self) -> str:
        """Which limit is exceeded; the workers go on, and with them the room comes back."""
        if self.backlog > self._max_backlog:
            return "backlog"
        return "memory" if self.memory_share > self._max_memory_share else ""

    async def _flush(self, messages: Sequence[Message]) -> Sequence[NotStored | None]:
        started = time.perf_counter()
        answers = await self._publisher.publish(messages)
        log.debug(
            "batch.stored", count=answers.count(None), elapsed_ms=round((time.perf_counter() - started) * 1000, 2)
        )
        return answers

    def _note(self, fault: str) -> None:
        """Log that the broker went away or came back, once each."""
        if bool(fault) != self._failing:
            self._failing = bool(fault)
            if fault:
                log.error("ingress.suspended", why=fault)
            else:
                log.info("ingress.resumed")


def _give_up(stored: asyncio.Future[None]) -> None:
    if not stored.done():
        stored.set_exception(NotStored("timeout"))
