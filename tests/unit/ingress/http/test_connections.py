"""The table of open connections: which is closed, when, and in which order."""

from collections.abc import Callable

import pytest

from ingress.http import connections as connections_module
from ingress.http.connections import Connections, State
from ingress.http.limits import MAX_CONNECTIONS, RESERVED_FILES, Limits, connection_limit, header_bytes
from ingress.http.refusals import Refusal, Refusals


class FakeConnection:
    """Notes how it was closed. Leaves the table when it is dropped, as a real one does."""

    def __init__(self, table: Connections) -> None:
        self._table = table
        self.expired: list[State] = []
        self.dropped: Refusal | None = None
        self.held = 0

    def expire(self, state: State) -> None:
        self.expired.append(state)

    def drop(self, refusal: Refusal) -> None:
        self.dropped = refusal
        self._table.remove(self)
        self._table.release(self.held)


class Listener:
    """A table of at most three connections with a clock of its own."""

    def __init__(self) -> None:
        self.now = 100.0
        self.timers: list[Callable[[], None]] = []
        limits = Limits(3, request_seconds=10, max_body_bytes=1000, idle_seconds=5, closing_seconds=2)
        self.table = Connections(limits, Refusals(), lambda: self.now, lambda _, sweep: self.timers.append(sweep))

    def connect(self, state: State = State.RECEIVING) -> FakeConnection:
        connection = FakeConnection(self.table)
        self.table.admit(connection)
        self.table.move(connection, state)
        self.now += 0.01
        return connection

    def hold(self, connection: FakeConnection, count: int) -> None:
        connection.held += count
        self.table.hold(connection, count)

    def pass_seconds(self, seconds: float) -> None:
        self.now += seconds
        (timer,) = self.timers
        self.timers.clear()
        timer()


@pytest.fixture
def listener() -> Listener:
    return Listener()


def test_one_connection_too_many_closes_the_oldest_that_receives(listener: Listener) -> None:
    first, second, third, fourth = (listener.connect() for _ in range(4))
    assert [one.dropped for one in (first, second, third, fourth)] == [Refusal.CONNECTIONS, None, None, None]
    assert len(listener.table) == 3


def test_answered_and_idle_connections_are_closed_before_those_that_receive(listener: Listener) -> None:
    receiving, idle, closing = (listener.connect(state) for state in (State.RECEIVING, State.IDLE, State.CLOSING))
    closed = []
    for _ in range(3):
        listener.connect(State.WORKING)
        closed.append([one.dropped is not None for one in (closing, idle, receiving)])
    assert closed == [[True, False, False], [True, True, False], [True, True, True]]


def test_a_new_connection_is_closed_when_all_others_are_at_work(listener: Listener) -> None:
    working = [listener.connect(State.WORKING) for _ in range(3)]
    late = listener.connect()
    assert late.dropped is Refusal.CONNECTIONS
    assert [one.dropped for one in working] == [None] * 3
    assert len(listener.table) == 3


def test_a_connection_that_receives_for_too_long_expires_once(listener: Listener) -> None:
    slow = listener.connect()
    listener.pass_seconds(9)
    assert slow.expired == []
    listener.pass_seconds(1)
    assert slow.expired == [State.RECEIVING]
    listener.pass_seconds(1)
    assert slow.expired == [State.RECEIVING]
    listener.pass_seconds(2)
    assert slow.expired == [State.RECEIVING, State.CLOSING]
    assert len(listener.table) == 0
    assert listener.timers == []


def test_receiving_on_does_not_give_more_time_but_another_request_does(listener: Listener) -> None:
    slow, busy = listener.connect(), listener.connect()
    listener.pass_seconds(6)
    for state in (State.WORKING, State.IDLE, State.RECEIVING):
        listener.table.move(busy, state)
    listener.table.move(slow, State.RECEIVING)
    listener.pass_seconds(6)
    assert (slow.expired, busy.expired) == ([State.RECEIVING], [])


def test_an_idle_connection_expires_and_one_at_work_never(listener: Listener) -> None:
    idle, working = listener.connect(State.IDLE), listener.connect(State.WORKING)
    listener.pass_seconds(5.1)
    listener.pass_seconds(1000)
    assert (idle.expired[0], working.expired) == (State.IDLE, [])


def test_a_connection_that_is_gone_comes_back_with_no_state(listener: Listener) -> None:
    gone = listener.connect()
    listener.table.remove(gone)
    listener.table.move(gone, State.IDLE)
    listener.table.remove(gone)
    assert len(listener.table) == 0


def test_unfinished_requests_over_the_limit_of_memory_are_dropped_oldest_first(
    listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections_module, "MAX_HELD_BYTES", 1000)
    first, second, third = (listener.connect() for _ in range(3))
    for connection in (first, second, third):
        listener.hold(connection, 333)
    listener.hold(third, 2)
    assert [one.dropped for one in (first, second, third)] == [Refusal.MEMORY, None, None]
    listener.hold(third, 900)
    assert [one.dropped for one in (second, third)] == [Refusal.MEMORY, Refusal.MEMORY]
    fourth = listener.connect()
    listener.hold(fourth, 1000)
    assert fourth.dropped is None


@pytest.mark.parametrize(
    ("open_files", "connections"),
    [
        (256, 256 - RESERVED_FILES),
        (1024, 1024 - RESERVED_FILES),
        (10**6, MAX_CONNECTIONS),
        (-1, MAX_CONNECTIONS),
        (8, 1),
    ],
)
def test_connections_stay_below_the_limit_of_open_files(open_files: int, connections: int) -> None:
    assert connection_limit(open_files) == connections


def test_the_size_of_headers_is_that_on_the_wire() -> None:
    assert header_bytes([(b"host", b"x"), (b"a", b"")]) == len(b"host: x\r\na: \r\n")
