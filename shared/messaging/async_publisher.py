"""Publishing from an asyncio loop, with an answer for each message."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, TypeVar

from shared.messaging.memory import Memory
from shared.messaging.message import Message
from shared.messaging.publisher import NotStored, Publisher

T = TypeVar("T")


class AsyncPublisher(Protocol):
    """A connection to a broker, for one asyncio loop. It connects anew after a failure."""

    async def publish(self, messages: Sequence[Message]) -> Sequence[NotStored | None]:
        """Store `messages`, in order: None or an error for each. Raises `NotStored` for an error of all of them."""

    async def depths(self, queues: Sequence[str]) -> list[int]:
        """Messages in each of `queues`, as `Publisher.depths`. Raises `NotStored`."""

    async def memory(self) -> Memory:
        """The broker's memory, as `Publisher.memory`. Raises `NotStored`."""

    async def close(self) -> None:
        """Close the connection; it can't be used again. Never raises."""


class ThreadedPublisher:
    """An `AsyncPublisher` over a `Publisher` that runs on a thread of its own, since kombu is synchronous."""

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher
        self._thread = ThreadPoolExecutor(1, "publisher")

    async def publish(self, messages: Sequence[Message]) -> Sequence[NotStored | None]:
        """Store all of `messages`. Raises `NotStored`."""
        await self._run(lambda: self._publisher.publish(messages))
        return [None] * len(messages)

    async def depths(self, queues: Sequence[str]) -> list[int]:
        """Messages in each of `queues`. Raises `NotStored`."""
        return await self._run(lambda: self._publisher.depths(queues))

    async def memory(self) -> Memory:
        """The broker's memory. Raises `NotStored`."""
        return await self._run(self._publisher.memory)

    async def close(self) -> None:
        """Close the connection and end the thread, after the call that is running."""
        await self._run(self._publisher.close)
        self._thread.shutdown()

    async def _run(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, call)
