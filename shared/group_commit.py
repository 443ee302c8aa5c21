"""Group commit: items that are submitted during one round trip are sent together in the next."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")


class GroupCommit(Generic[T, R]):
    """Collects single items into batches, and sends one batch at a time.

    `flush` sends a batch and returns one reply for each item, in order. A reply that is an exception is raised to that
    item's caller. If `flush` raises, every caller of the batch gets that exception. No timer is involved: an item that
    is submitted while no batch is being sent goes out at once.
    """

    def __init__(
        self, flush: Callable[[Sequence[T]], Awaitable[Sequence[R | BaseException]]], max_batch: int = 1000
    ) -> None:
        self._flush = flush
        self._max_batch = max_batch
        self._waiting: list[tuple[T, asyncio.Future[R]]] = []
        self._task: asyncio.Task[None] | None = None

    def submit(self, item: T) -> asyncio.Future[R]:
        """Add `item` to the next batch. Returns a future with its reply; cancel it to drop the item."""
        future: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run())
        return future

    async def _run(self) -> None:
        while self._waiting:
            open_calls = [call for call in self._waiting if not call[1].done()]  # a caller may have cancelled
            batch, self._waiting = open_calls[: self._max_batch], open_calls[self._max_batch :]
            if not batch:
                return
            try:
                replies = await self._flush([item for item, _ in batch])
            except Exception as error:
                replies = [error] * len(batch)
            for (_, future), reply in zip(batch, replies, strict=True):
                _resolve(future, reply)


def _resolve(future: "asyncio.Future[R]", reply: R | BaseException) -> None:
    if future.done():
        return
    if isinstance(reply, BaseException):
        future.set_exception(reply)
    else:
        future.set_result(reply)
