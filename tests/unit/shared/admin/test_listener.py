"""The admin listener over real sockets."""

import http.client
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from prometheus_client import CONTENT_TYPE_LATEST
from structlog.testing import capture_logs

from deploy.local.ports import free_port
from shared.admin import listener
from shared.admin.listener import OFF, AdminListener
from shared.admin.pages import Page, routes
from tests.support.waiting import until


class Process:
    """A process whose listener is running. Its probes answer `alive` and `ready`."""

    def __init__(self) -> None:
        self.alive = self.ready = ""
        self.port = free_port()
        self.address = f"127.0.0.1:{self.port}"

    @contextmanager
    def listening(self) -> Iterator[AdminListener]:
        pages = dict(routes(lambda: self.alive, lambda: self.ready)) | {"/broken": lambda: Page(1 // 0, b"")}
        with AdminListener(self.address, pages) as running:
            yield running

    def get(self, path: str, method: str = "GET") -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.request(method, path)
        answer = connection.getresponse()
        try:
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
        finally:
            connection.close()

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=60)


@pytest.fixture
def process() -> Process:
    return Process()


def connection_threads() -> int:
    return sum("process_request_thread" in thread.name for thread in threading.enumerate())


def is_closed(connection: socket.socket) -> bool:
    """Whether the other side closes the connection without an answer."""
    try:
        return connection.recv(100) == b""
    except ConnectionResetError:
        return True


def test_a_process_without_faults_is_alive_and_ready(process: Process) -> None:
    with process.listening():
        assert [process.get(path)[::2] for path in ("/livez", "/readyz")] == [(200, b"alive\n"), (200, b"ready\n")]


def test_a_fault_is_answered_with_503_and_its_cause(process: Process) -> None:
    process.alive, process.ready = "the event loop has not turned for 12 s", "backlog"
    with process.listening():
        assert process.get("/livez")[::2] == (503, b"not alive: the event loop has not turned for 12 s\n")
        assert process.get("/readyz?verbose=1")[::2] == (503, b"not ready: backlog\n")


def test_metrics_are_prometheus_text(process: Process) -> None:
    with process.listening():
        status, headers, body = process.get("/metrics")
    assert (status, headers["content-type"]) == (200, CONTENT_TYPE_LATEST)
    assert b"python_info" in body
    assert "server" not in headers


def test_an_unknown_path_is_404(process: Process) -> None:
    with process.listening():
        assert process.get("/")[0] == 404


@pytest.mark.parametrize("method", ["HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"])
def test_another_method_is_405(process: Process, method: str) -> None:
    with process.listening():
        status, headers, _ = process.get("/metrics", method)
    assert (status, headers["allow"]) == (405, "GET")


def test_a_page_that_fails_is_500_and_logged_without_its_message(process: Process) -> None:
    with capture_logs() as lines, process.listening():
        assert process.get("/broken")[0] == 500
        assert process.get("/livez")[0] == 200
    (line,) = [line for line in lines if line["event"] == "admin.failed"]
    assert (line["path"], line["error"]) == ("/broken", "ZeroDivisionError")


def test_silent_clients_do_not_keep_others_out(process: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "REQUEST_SECONDS", 600.0)
    with process.listening():
        silent = [process.connect() for _ in range(3 * listener.MAX_CONNECTIONS)]
        assert process.get("/livez")[0] == 200
        assert all(is_closed(connection) for connection in silent[: listener.MAX_CONNECTIONS])
        until(lambda: connection_threads() <= listener.MAX_CONNECTIONS, what="the threads of closed connections to end")
        for connection in silent:
            connection.close()


def test_a_request_that_is_not_complete_in_time_is_closed(process: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "REQUEST_SECONDS", 0.2)
    with process.listening(), process.connect() as slow:
        slow.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n")
        assert is_closed(slow)


def test_a_head_over_the_limit_is_closed_without_reading_on(process: Process) -> None:
    with process.listening(), process.connect() as large:
        large.sendall(b"GET /livez HTTP/1.1\r\nX: " + b"x" * listener.MAX_HEAD_BYTES)
        assert is_closed(large)


def test_an_address_that_is_taken_is_logged_once_and_used_when_it_is_free(
    process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listener, "RETRY_SECONDS", 0.01)
    other = socket.create_server(("127.0.0.1", process.port))
    with capture_logs() as lines, process.listening() as waiting:
        assert not waiting.listens
        other.close()
        until(lambda: waiting.listens)
        assert process.get("/livez")[0] == 200
    events = [(line["event"], line["log_level"], line["address"]) for line in lines]
    assert events == [
        ("admin.not_listening", "warning", process.address),
        ("admin.listening", "info", process.address),
    ]
    assert "FACEID_ADMIN_LISTEN" in lines[0]["hint"]


def test_the_process_ends_although_its_address_is_taken(process: Process) -> None:
    with socket.create_server(("127.0.0.1", process.port)), process.listening() as waiting:
        assert not waiting.listens


def test_a_closed_listener_frees_its_address(process: Process) -> None:
    for _ in range(2):
        with process.listening() as running:
            assert running.listens


def test_off_opens_nothing() -> None:
    with capture_logs() as lines, AdminListener(OFF, {}) as off:
        assert not off.listens
    assert lines == []
