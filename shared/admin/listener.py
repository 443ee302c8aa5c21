"""The admin listener of a process: its probes and metrics over HTTP, for the operator's network only.

It runs on threads of its own, so it answers while the asyncio loop is stuck.
"""

import socket
import threading
import time
from collections import OrderedDict
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from io import BytesIO
from socketserver import TCPServer, ThreadingMixIn
from typing import Any, Final, Self

import structlog

from shared.admin.pages import Page, Routes
from shared.logs import raised_at

log = structlog.get_logger()

INGRESS_ADDRESS: Final = "127.0.0.1:9028"
WORKER_ADDRESS: Final = "127.0.0.1:9029"
OFF: Final = "off"
"""The address of a process without this listener."""

MAX_CONNECTIONS: Final = 8
"""Connections at once, each with a thread. One more closes the oldest, so silent clients block nobody."""
MAX_HEAD_BYTES: Final = 8192
REQUEST_SECONDS: Final = 2.0
RETRY_SECONDS: Final = 5.0
HINT: Final = (
    "the process runs without probes and metrics until the address is free; give each process on this machine "
    "its own FACEID_ADMIN_LISTEN, or set it to off"
)


class AdminListener:
    """Serves `routes` at `address` while its block runs. A context manager.

    An address that is taken is tried again until it is free, since the process before may still be stopping. The
    process runs on meanwhile.
    """

    def __init__(self, address: str, routes: Routes) -> None:
        """`address`: HOST:PORT, or `off` for no listener."""
        self._address = address
        self._routes = routes
        self._server: _Server | None = None
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="admin-listener", daemon=True)

    @property
    def listens(self) -> bool:
        """Whether it has its address."""
        return self._server is not None

    def __enter__(self) -> Self:
        """Listen, or log why not."""
        if self._address != OFF:
            self._open()
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Close the listener; does not wait for open connections."""
        self._closing.set()
        if self._address != OFF:
            if self._server is not None:
                self._server.shutdown()
            self._thread.join()

    def _run(self) -> None:
        while self._server is None:
            if self._closing.wait(RETRY_SECONDS):
                return
            self._open(again=True)
        with self._server:
            self._server.serve_forever(poll_interval=0.1)

    def _open(self, *, again: bool = False) -> None:
        host, _, port = self._address.rpartition(":")
        try:
            self._server = _Server((host, int(port)), self._routes)
        except OSError as error:
            if not again:
                log.warning("admin.not_listening", address=self._address, error=type(error).__name__, hint=HINT)
        else:
            log.info("admin.listening", address="{}:{}".format(*self._server.server_address[:2]))


class _Server(ThreadingMixIn, HTTPServer):
    """A thread for each connection, of which there are at most `MAX_CONNECTIONS`."""

    daemon_threads = True
    block_on_close = False
    address_family = socket.AF_INET

    def __init__(self, address: tuple[str, int], routes: Routes) -> None:
        self.routes = routes
        self._open: OrderedDict[socket.socket, None] = OrderedDict()
        self._lock = threading.Lock()
        super().__init__(address, _Handler)

    def server_bind(self) -> None:
        """Bind. `HTTPServer` would look up the host's name in DNS first, which may take long."""
        TCPServer.server_bind(self)

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accept a connection. Rest when that fails: without a free file descriptor it would be tried at once again."""
        try:
            return super().get_request()
        except OSError:
            time.sleep(0.1)
            raise

    def process_request(self, request: Any, client_address: Any) -> None:
        """Start a thread for a connection. Close the oldest connection when there are too many."""
        with self._lock:
            self._open[request] = None
            if len(self._open) > MAX_CONNECTIONS:
                oldest, _ = self._open.popitem(last=False)
                with suppress(OSError):
                    oldest.shutdown(socket.SHUT_RDWR)  # wakes its thread, which closes it
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Close a connection."""
        with self._lock:
            self._open.pop(request, None)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore an error of a connection: the client has hung up."""


class _Handler(BaseHTTPRequestHandler):
    """Answers one request and closes (HTTP/1.0)."""

    server: _Server
    timeout = REQUEST_SECONDS

    def setup(self) -> None:
        """Read the head of the request before it is parsed: so its time and its size are limited as a whole."""
        super().setup()
        self.rfile = BytesIO(_read_head(self.connection))

    def do_GET(self) -> None:
        """Answer with the page of the path."""
        make = self.server.routes.get(self.path.partition("?")[0])
        if make is None:
            self._send(Page.text(404, "not found"))
            return
        try:
            page = make()
        except Exception as error:
            log.error(
                "admin.failed", path=self.path.partition("?")[0], error=type(error).__name__, where=raised_at(error)
            )
            page = Page.text(500, "failed; see the log")
        self._send(page)

    def refuse(self) -> None:
        """Answer any other method with 405."""
        self._send(Page.text(405, "method not allowed"), ("Allow", "GET"))

    do_HEAD = do_POST = do_PUT = do_DELETE = do_PATCH = do_OPTIONS = refuse  # noqa: N815 - http.server's names

    def log_message(self, *_: Any) -> None:
        """Log nothing: probes come every few seconds."""

    def _send(self, page: Page, *headers: tuple[str, str]) -> None:
        self.send_response_only(page.status)
        body = b"" if self.command == "HEAD" else page.body
        for name, value in (("Content-Type", page.content_type), ("Content-Length", str(len(page.body))), *headers):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


def _read_head(connection: socket.socket) -> bytes:
    """The request up to its empty line. Empty when that does not come in time, or the head is too long."""
    deadline = time.monotonic() + REQUEST_SECONDS
    head = b""
    while b"\r\n\r\n" not in head:
        connection.settimeout(max(0.001, deadline - time.monotonic()))
        part = connection.recv(MAX_HEAD_BYTES)
        head += part
        if not part or len(head) > MAX_HEAD_BYTES:
            return b""
    connection.settimeout(REQUEST_SECONDS)
    return head
