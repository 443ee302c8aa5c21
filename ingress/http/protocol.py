"""uvicorn's HTTP/1.1 protocol with the limits of the ingress.

It differs from uvicorn's in this:
- headers, query, time, bytes and pipelined requests are limited; a refusal is answered after the requests before it;
- the times of all connections are kept in one table (`Connections`) instead of a timer for each;
- `Upgrade` is ignored, as RFC 9110 section 7.8 allows. The request is answered as an HTTP/1.1 request.
"""

from collections import deque
from typing import Any, Final, NoReturn

import httptools
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from ingress.http.connections import Connections, State
from ingress.http.limits import (
    FEED_BYTES,
    MAX_HEAD_BYTES,
    MAX_HEADER_BYTES,
    MAX_PIPELINED,
    MAX_QUERY_BYTES,
    MAX_URL_BYTES,
    header_bytes,
)
from ingress.http.refusals import Refusal

UPGRADE_HEADERS: Final = frozenset({b"upgrade", b"http2-settings", b"connection"})


class StopParsing(Exception):
    """Raised in a callback of the parser, which turns it into an `HttpParserError`."""


class HeldFlow(FlowControl):
    """Flow control that does not read on while `held`, whatever the application asks for."""

    held = False

    def resume_reading(self) -> None:
        """Read on, unless held."""
        if not self.held:
            super().resume_reading()


class HttpProtocol(HttpToolsProtocol):
    """One connection of a client."""

    flow: HeldFlow

    def __init__(self, connections: Connections, **uvicorn: Any) -> None:
        """`uvicorn`: the arguments with which uvicorn makes a protocol."""
        super().__init__(**uvicorn)
        self._table = connections
        self._in_head = False
        self._receiving: RequestResponseCycle | None = None
        """The request whose body is not complete."""
        self._running: RequestResponseCycle | None = None
        """The request that the application handles. Later ones are in `pipeline`."""
        self._rest = b""
        """Received, and not parsed yet: requests before it wait for their answers."""
        self._held = 0
        """Bytes of an unfinished request, as the table knows them."""
        self._found: Refusal | None = None
        """What a callback of the parser has found."""
        self._refusal: Refusal | None = None
        """Why nothing more is read. It is answered after the requests before it."""
        self._last_sent = False

    # The connection

    def connection_made(self, transport: Any) -> None:
        """Take part in the table, which may close another connection for this one."""
        super().connection_made(transport)
        self.flow = HeldFlow(transport)
        self._table.admit(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Leave the table."""
        self._table.remove(self)
        self._release()
        if self._running is not None:
            self._running.disconnected = True  # uvicorn does this for the last request on the connection
            self._running.message_event.set()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """The client does not read its answers: limit that time too."""
        super().pause_writing()
        self._note_state()

    def resume_writing(self) -> None:
        """The client reads again."""
        super().resume_writing()
        self._note_state()

    def expire(self, state: State) -> None:
        """Close: the time for this state is over."""
        if state is State.CLOSING or self.flow.write_paused:
            self.transport.abort()
        elif state is State.IDLE:
            self.transport.close()
        else:
            self._refuse(Refusal.TIMEOUT if self._in_head or self._receiving else Refusal.SILENT)

    def drop(self, refusal: Refusal) -> None:
        """Close at once and without an answer."""
        self._refusal = refusal
        self._table.refusals.note(refusal.kind, refusal.status)
        self._table.remove(self)
        self._release()
        self.transport.abort()

    # What arrives

    def data_received(self, data: bytes) -> None:
        """Parse what has arrived, or keep it while earlier requests wait for their answers."""
        if self._refusal is not None:
            return
        if self._rest or self.pipeline or len(data) > FEED_BYTES:
            self._rest += data
            self._feed_rest()
        else:
            self._feed(data)
        self._note_state()

    def _feed_rest(self) -> None:
        """Parse what was kept, in small parts, until a request has to wait. Read on only when nothing is left."""
        done = 0
        while done < len(self._rest) and not self.pipeline and self._refusal is None:
            self._feed(self._rest[done : done + FEED_BYTES])
            done += FEED_BYTES
        self._rest = self._rest[done:] if self._refusal is None else b""
        self.flow.held = bool(self._rest)
        if self._rest:
            self.flow.pause_reading()

    def _feed(self, part: bytes) -> None:
        try:
            self._parse(part)
        except httptools.HttpParserError:
            self._refuse(self._found or Refusal.MALFORMED)
            return
        if not self._in_head and self._receiving is None:
            return
        self._held += len(part)
        self._table.hold(self, len(part))
        if self._held > MAX_HEAD_BYTES and self._in_head:
            self._refuse(Refusal.HEADERS)
        elif self._held > self._table.limits.request_bytes:
            self._refuse(Refusal.BODY)

    def _parse(self, part: bytes) -> None:
        """Give `part` to the parser. After an upgrade a new parser gets the same head without it."""
        while part:
            try:
                self.parser.feed_data(part)
            except httptools.HttpParserUpgrade as upgrade:
                part = self._head_without_upgrade() + part[upgrade.args[0] :]
                self.parser = httptools.HttpRequestParser(self)
                self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn does
            else:
                return

    def _head_without_upgrade(self) -> bytes:
        version = self.parser.get_http_version().encode()
        tokens = [token.strip() for name, value in self.headers if name == b"connection" for token in value.split(b",")]
        kept = [token for token in tokens if token.lower() not in UPGRADE_HEADERS]
        headers = [(name, value) for name, value in self.headers if name not in UPGRADE_HEADERS]
        lines = [b"%b: %b\r\n" % header for header in (*headers, *((b"connection", token) for token in kept))]
        start = b"%b %b HTTP/%b\r\n" % (self.parser.get_method(), self.url, version)
        return b"".join((start, *lines, b"\r\n"))

    # Callbacks of the parser

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self._release()
        self._in_head = True

    def on_url(self, url: bytes) -> None:
        """A part of the URL."""
        super().on_url(url)
        if len(self.url) > MAX_URL_BYTES:
            self._stop(Refusal.URL)

    def on_headers_complete(self) -> None:
        """The head is complete: check it, and begin to handle the request or queue it."""
        if self.parser.should_upgrade():
            if self.parser.get_method() == b"CONNECT":  # would be an upgrade again and again
                self._stop(Refusal.MALFORMED)
            return
        if len(self.url.partition(b"?")[2]) > MAX_QUERY_BYTES:
            self._stop(Refusal.URL)
        if header_bytes(self.headers) > MAX_HEADER_BYTES:
            self._stop(Refusal.HEADERS)
        if len(self.pipeline) >= MAX_PIPELINED:
            self._stop(Refusal.PIPELINED)
        super().on_headers_complete()
        self._in_head = False
        self._receiving = self.cycle

    def on_message_complete(self) -> None:
        """The request is complete."""
        if self.parser.should_upgrade():
            return
        super().on_message_complete()
        self._receiving = None
        self._release()

    def _stop(self, refusal: Refusal) -> NoReturn:
        self._found = refusal
        raise StopParsing

    # Answers

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    def on_response_complete(self) -> None:
        """An answer is sent: begin with the next request, or wait for it."""
        self.server_state.total_requests += 1
        self._running = None
        if not self.transport.is_closing():
            if self.pipeline:
                self._start_asgi_task(*self.pipeline.pop())
            if not self.pipeline and self._refusal is None:
                self._feed_rest()
                self.flow.resume_reading()
            if self._refusal is not None and self._running is None:
                self._answer_refusal(self._refusal)
        self._note_state()

    def _refuse(self, refusal: Refusal) -> None:
        """Read no more. Answer after the requests before it, and close."""
        self._refusal = refusal
        self._table.refusals.note(refusal.kind, refusal.status)
        answered = self._receiving is not None and self._receiving.response_complete
        self._give_up_receiving()
        if answered:
            self.transport.close()
        elif self._running is None:
            self._answer_refusal(refusal)
        self._note_state()

    def _give_up_receiving(self) -> None:
        """The unfinished request does not come to its end: the application sees a client that has disconnected."""
        cycle, self._receiving = self._receiving, None
        self._in_head = False
        self._release()
        if cycle is not None and cycle is self._running:
            self._running = None
            cycle.disconnected = True
            cycle.message_event.set()
        elif cycle is not None:
            self.pipeline = deque(queued for queued in self.pipeline if queued[0] is not cycle)

    def _answer_refusal(self, refusal: Refusal) -> None:
        """Send the last answer, and leave the client time to read it: a reset would delete it on the way."""
        self._last_sent = True
        if refusal.status == 0:
            self.transport.close()
            return
        self.transport.write(refusal.answer().last(*self.server_state.default_headers))
        self.transport.write_eof()
        self.flow.held = False
        self.flow.resume_reading()

    def _release(self) -> None:
        self._table.release(self._held)
        self._held = 0

    def _note_state(self) -> None:
        if self._last_sent or self.transport.is_closing():
            state = State.CLOSING
        elif self._running is not None and self._running is not self._receiving and not self.flow.write_paused:
            state = State.WORKING
        elif self._in_head or self._receiving is not None or self.cycle is None or self.flow.write_paused:
            state = State.RECEIVING
        else:
            state = State.IDLE
        self._table.move(self, state)
