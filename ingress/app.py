"""The ingress: an ASGI application that stores what FaceID posts, and answers. It parses nothing, knows no secret."""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from secrets import token_hex
from typing import Any, Final, cast

import structlog
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from ingress.answer import Answer
from ingress.metrics import BACKLOG, UNSTORED, answered
from ingress.redirect import FINISHED_PAGE, redirect_target
from ingress.store import Store
from shared.messaging.envelope import Channel, Envelope, Method
from shared.messaging.publisher import NotStored

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

log = structlog.get_logger()
STORED: Final = Answer.text(200, "ok")
NOT_STORED: Final = Answer.text(503, "callback.not_stored", (b"retry-after", b"5"))
METHODS: Final[dict[str, tuple[str, ...]]] = {"notify": ("POST",), "return": ("POST", "GET")}


class TooLarge(Exception):
    """The body is over the limit."""


class Gone(Exception):
    """The sender hung up before the body was whole."""


class Ingress:
    """The application. `accounts` are the names that callbacks are accepted for; `clock` gives unix seconds."""

    def __init__(
        self,
        store: Store,
        accounts: frozenset[str],
        redirect_url: str,
        max_body_bytes: int,
        clock: Callable[[], float],
    ) -> None:
        self._store = store
        self._accounts = accounts
        self._redirect_url = redirect_url
        self._max_body_bytes = max_body_bytes
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one connection's request, or mind the application's life."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        parts = scope["path"].split("/")
        try:
            if len(parts) == 4 and parts[1] == "callbacks":
                answer = await self._callback(scope, receive, parts[2], parts[3])
            else:
                answer = await self._page(scope["path"], scope["method"])
        except Gone:
            return
        await answer.send(send)

    async def _callback(self, scope: Scope, receive: Receive, account: str, channel: str) -> Answer:
        methods = METHODS.get(channel)
        if methods is None or account not in self._accounts:
            return Answer.text(404, "no such account or channel")
        if scope["method"] not in methods:
            return Answer.text(405, "method not allowed", (b"allow", ", ".join(methods).encode()))
        answer = await self._accept(scope, receive, account, cast("Channel", channel))
        answered(channel, answer.status).inc()
        return answer

    async def _accept(self, scope: Scope, receive: Receive, account: str, channel: Channel) -> Answer:
        headers = dict(scope["headers"])
        try:
            body = await _body(headers, receive, self._max_body_bytes)
        except TooLarge:
            return Answer.text(413, f"over {self._max_body_bytes} bytes")
        method, query = cast("Method", scope["method"]), scope["query_string"].decode("latin-1")
        if method == "POST" and not body:
            return Answer.text(400, "the body is empty")
        content_type = headers.get(b"content-type", b"").decode("latin-1")
        # as unique as a UUID, at a sixth of its cost
        envelope = Envelope(token_hex(16), account, channel, method, self._clock(), body, content_type, query)
        stored = await self._stored(envelope) if body or query else True
        if channel == "return":
            return self._send_on(query)
        return STORED if stored else NOT_STORED

    async def _stored(self, envelope: Envelope) -> bool:
        try:
            await self._store.put(envelope)
        except NotStored as error:
            UNSTORED.labels(envelope.channel).inc()
            log.warning("callback.not_stored", account=envelope.account, channel=envelope.channel, why=str(error))
            return False
        return True

    def _send_on(self, query: str) -> Answer:
        """The person goes on, whatever became of the callback: the notify is what counts."""
        if not self._redirect_url:
            return Answer(200, FINISHED_PAGE, ((b"content-type", b"text/html; charset=utf-8"),))
        target = redirect_target(self._redirect_url, query).encode("latin-1", "replace")
        return Answer(303, b"", ((b"location", target), (b"cache-control", b"no-store")))

    async def _page(self, path: str, method: str) -> Answer:
        if path not in {"/healthz", "/readyz", "/metrics"}:
            return Answer.text(404, "not found")
        if method not in {"GET", "HEAD"}:
            return Answer.text(405, "method not allowed", (b"allow", b"GET, HEAD"))
        if path == "/healthz":
            return Answer.text(200, "ok")
        if path == "/readyz":
            ready = await self._store.ready()
            return Answer.text(200, "ready") if ready else Answer.text(503, "can't store callbacks now")
        BACKLOG.set(self._store.backlog)
        return Answer(200, generate_latest(), ((b"content-type", CONTENT_TYPE_LATEST.encode()),))

    async def _live(self, receive: Receive, send: Send) -> None:
        """The lifespan protocol: watch the backlog from start-up to shutdown."""
        await receive()
        watch = asyncio.create_task(self._store.watch())
        await send({"type": "lifespan.startup.complete"})
        await receive()
        watch.cancel()
        await self._store.close()
        await send({"type": "lifespan.shutdown.complete"})


async def _body(headers: dict[bytes, bytes], receive: Receive, limit: int) -> bytes:
    """The whole body; raises `TooLarge` as early as that is known, and `Gone`."""
    declared = headers.get(b"content-length", b"")
    if declared.isdigit() and int(declared) > limit:
        raise TooLarge
    body = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Gone
        body += cast("bytes", message.get("body", b""))
        if len(body) > limit:
            raise TooLarge
        if not message.get("more_body", False):
            return body
