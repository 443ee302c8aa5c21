"""How long the current task has worked on its item, without the times for which it waits for others."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar


class ItemClock:
    """Counts seconds, but not while it is paused."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock`: seconds."""
        self._clock = clock
        self._started_at = clock()
        self._pauses = 0
        self._paused_at = 0.0

    @property
    def seconds(self) -> float:
        """The seconds so far."""
        return (self._paused_at if self._pauses else self._clock()) - self._started_at

    def pause(self) -> None:
        """Stop counting."""
        if not self._pauses:
            self._paused_at = self._clock()
        self._pauses += 1

    def resume(self) -> None:
        """Count on after as many calls as of `pause`."""
        self._pauses -= 1
        if not self._pauses:
            self._started_at += self._clock() - self._paused_at


_current: ContextVar[ItemClock | None] = ContextVar("item_clock", default=None)


def start() -> ItemClock:
    """The clock of the current task from now on."""
    clock = ItemClock()
    _current.set(clock)
    return clock


@contextmanager
def paused() -> Iterator[None]:
    """The time in this block is not the item's: it waits for its turn, or for a server that is away."""
    clock = _current.get()
    if clock is None:
        yield
        return
    clock.pause()
    try:
        yield
    finally:
        clock.resume()
