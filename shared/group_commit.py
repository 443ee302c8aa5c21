"""Group commit: what arrives during one round trip goes out together in the next."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")


class GroupCommit(Generic[T, R]):
    """Gathers single calls into batches, one batch under way at a time.

    `flush` takes a batch and answers it in order, an exception standing for the call that failed; when it raises,
    every call of the batch raises the same. Nothing waits for a timer: an idle gatherer sends at once.
    """

    def __init__(
        self, flush: Callable[[Sequence[T]], Awaitable[Sequence[R | BaseException]]], max_batch: int = 1000
    ) -> None:
        self._flush = flush
        self._max_batch = max_batch
        self._waiting: list[tuple[T, asyncio.Future[R]]] = []
        self._task: asyncio.Task[None] | None = None

    def submit(self, item: T) -> asyncio.Future[R]:
        """The answer to `item`, sent with whatever else is waiting; not sent when it is done before."""
        future: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run())
        return future

    async def _run(self) -> None:
        while self._waiting:
            wanted = [call for call in self._waiting if not call[1].done()]  # a caller may have gone away
            batch, self._waiting = wanted[: self._max_batch], wanted[self._max_batch :]
            if not batch:
                return
            try:
                answers = await self._flush([item for item, _ in batch])
            except Exception as error:
                answers = [error] * len(batch)
            for (_, future), answer in zip(batch, answers, strict=True):
                _resolve(future, answer)


def _resolve(future: "asyncio.Future[R]", answer: R | BaseException) -> None:
    if future.done():
        return
    if isinstance(answer, BaseException):
        future.set_exception(answer)
    else:
        future.set_result(answer)
