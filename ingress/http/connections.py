"""The open connections of the public listener: how many there may be, for how long, and which is closed first."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from enum import Enum, auto
from typing import Final, Protocol

from ingress.http.limits import MAX_HELD_BYTES, Limits
from ingress.http.metrics import OPEN_CONNECTIONS
from ingress.http.refusals import Refusal, Refusals

SWEEP_SECONDS: Final = 0.25
"""Between two looks for connections whose time is over."""


def _call_later(seconds: float, function: Callable[[], None]) -> None:
    asyncio.get_running_loop().call_later(seconds, function)


class State(Enum):
    """What a connection waits for. In the order in which connections are closed to make room."""

    CLOSING = auto()
    """The client reads the last answer."""
    IDLE = auto()
    """The next request."""
    RECEIVING = auto()
    """The rest of a request, or the first one."""
    WORKING = auto()
    """The answer to a complete request. Such a connection is not closed."""


class Connection(Protocol):
    """A connection as the table needs it. It is hashed by identity."""

    def expire(self, state: State) -> None:
        """Close: the time for this state is over. The table has it as `CLOSING` already."""

    def drop(self, refusal: Refusal) -> None:
        """Close at once and without an answer: there is no room."""


class Connections:
    """All open connections, each in the queue of its state, the oldest first. For one asyncio loop.

    A change takes constant time, and a connection needs no timer of its own.
    """

    def __init__(
        self,
        limits: Limits,
        refusals: Refusals,
        clock: Callable[[], float] = time.monotonic,
        call_later: Callable[[float, Callable[[], None]], object] = _call_later,
    ) -> None:
        """`clock`: seconds. `call_later`: runs a function after some seconds."""
        self.limits = limits
        self.refusals = refusals
        self._clock = clock
        self._call_later = call_later
        self._states: dict[Connection, State] = {}
        self._queues: dict[State, OrderedDict[Connection, float]] = {state: OrderedDict() for state in State}
        self._seconds = {
            State.CLOSING: limits.closing_seconds,
            State.IDLE: limits.idle_seconds,
            State.RECEIVING: limits.request_seconds,
        }
        self._held_bytes = 0
        self._sweeping = False

    def __len__(self) -> int:
        return len(self._states)

    def admit(self, connection: Connection) -> None:
        """Add a new connection. Drops the oldest one that is not at work when there are too many, else the new one."""
        if len(self) >= self.limits.connections:
            oldest = self._oldest(State.CLOSING, State.IDLE, State.RECEIVING)
            (oldest or connection).drop(Refusal.CONNECTIONS)
            if oldest is None:
                return
        self._states[connection] = State.RECEIVING
        self._queues[State.RECEIVING][connection] = self._clock()
        OPEN_CONNECTIONS.set(len(self))
        if not self._sweeping:
            self._sweeping = True
            self._call_later(SWEEP_SECONDS, self.sweep)

    def move(self, connection: Connection, state: State) -> None:
        """Note the state of a connection. Its time begins anew when the state is another one."""
        before = self._states.get(connection)
        if before is None or before is state:
            return
        del self._queues[before][connection]
        self._states[connection] = state
        self._queues[state][connection] = self._clock()

    def remove(self, connection: Connection) -> None:
        """Forget a connection. Does nothing when it is not here."""
        state = self._states.pop(connection, None)
        if state is not None:
            del self._queues[state][connection]
            OPEN_CONNECTIONS.set(len(self))

    def hold(self, connection: Connection, count: int) -> None:
        """Note that this connection keeps `count` bytes more of a request that is not complete.

        Drops the oldest connections that receive while all of them together keep too much, else this one.
        """
        self._held_bytes += count
        while self._held_bytes > MAX_HELD_BYTES:
            oldest = self._oldest(State.RECEIVING) or connection
            oldest.drop(Refusal.MEMORY)
            if oldest is connection:
                return

    def release(self, count: int) -> None:
        """Note that `count` bytes are not kept any more."""
        self._held_bytes -= count

    def sweep(self) -> None:
        """Close the connections whose time is over, and come back as long as there are connections."""
        now = self._clock()
        for state, seconds in self._seconds.items():
            queue = self._queues[state]
            while queue and now - next(iter(queue.values())) > seconds:
                connection = next(iter(queue))
                self.remove(connection) if state is State.CLOSING else self.move(connection, State.CLOSING)
                connection.expire(state)
        self._sweeping = bool(self._states)
        if self._sweeping:
            self._call_later(SWEEP_SECONDS, self.sweep)

    def _oldest(self, *states: State) -> Connection | None:
        """The connection that has been in the first of these states for the longest time."""
        return next((next(iter(self._queues[state])) for state in states if self._queues[state]), None)
