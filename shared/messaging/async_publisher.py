"""Publishing from an asyncio loop, message by message answered; any `Publisher` can, on a thread of its own."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, TypeVar

from shared.messaging.message import Message
from shared.messaging.publisher import NotStored, Publisher

T = TypeVar("T")


class AsyncPublisher(Protocol):
    """One way to one broker, for one loop; made anew by itself after a failure."""

    async def publish(self, messages: Sequence[Message]) -> Sequence[NotStored | None]:
        """Store `messages` in order; the answer holds None or an error for each. Raises `NotStored` for all of them."""

    async def depth(self, queues: Sequence[str]) -> int:
        """Messages waiting in `queues`, as a `Publisher` tells it; may raise `NotStored`."""

    async def fullness(self) -> float:
        """The share of its memory limit that the broker uses, as a `Publisher` tells it; may raise `NotStored`."""

    async def close(self) -> None:
        """Let go of the broker for good. Never raises."""


class ThreadedPublisher:
    """An `AsyncPublisher` that has a thread do it: kombu is synchronous, and its connection one thread's."""

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher
        self._thread = ThreadPoolExecutor(1, "publisher")

    async def publish(self, messages: Sequence[Message]) -> Sequence[NotStored | None]:
        """Store all of `messages`; raises `NotStored` for all of them."""
        await self._run(lambda: self._publisher.publish(messages))
        return [None] * len(messages)

    async def depth(self, queues: Sequence[str]) -> int:
        """Messages waiting in `queues`; raises `NotStored`."""
        return await self._run(lambda: self._publisher.depth(queues))

    async def fullness(self) -> float:
        """The share of its memory limit that the broker uses; raises `NotStored`."""
        return await self._run(self._publisher.fullness)

    async def close(self) -> None:
        """End the thread, when it has done what it is at."""
        await self._run(self._publisher.close)
        self._thread.shutdown()

    async def _run(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, call)
