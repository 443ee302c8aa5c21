"""The ingress: an ASGI application that stores what FaceID posts, and answers.

It stores requests as they come. It doesn't parse them and knows no secret; the `verify` stage does.
"""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from secrets import token_hex
from typing import Any, Final, cast

import structlog

from ingress.admission import LARGE
from ingress.http.answer import Answer
from ingress.http.refusals import ANSWERED, Refusals
from ingress.metrics import UNSTORED, requests_counter
from ingress.redirect import FINISHED_PAGE, redirect_target
from ingress.store import Store
from shared.log_limiter import LogLimiter
from shared.messaging.envelope import Channel, Envelope, Method
from shared.messaging.publisher import NotStored

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

log = structlog.get_logger()
STORED: Final = Answer.text(200, "ok")
NOT_STORED: Final = Answer.text(503, "not stored", (b"retry-after", b"5"))
METHODS: Final[dict[str, tuple[str, ...]]] = {"notify": ("POST",), "return": ("POST", "GET")}


class BodyTooLarge(Exception):
    """The body is over the limit."""


class ClientDisconnected(Exception):
    """The client disconnected before the whole body had arrived."""


class Ingress:
    """The ASGI application.

    `accounts`: names for which callbacks are accepted. `redirect_url`: where the return channel redirects browsers;
    if it is empty, they get a page of our own. `clock`: unix seconds.
    """

    def __init__(
        self,
        store: Store,
        accounts: frozenset[str],
        redirect_url: str,
        max_body_bytes: int,
        refusals: Refusals,
        clock: Callable[[], float],
    ) -> None:
        self._store = store
        self._accounts = accounts
        self._redirect_url = redirect_url
        self._max_body_bytes = max_body_bytes
        self._refusals = refusals
        self._log_limiter = LogLimiter()
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one HTTP request, or the ASGI lifespan."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
            return
        parts = scope["path"].split("/")
        try:
            if len(parts) == 4 and parts[1] == "callbacks":
                answer = await self._callback(scope, receive, parts[2], parts[3])
            else:
                answer = _health(scope["path"], scope["method"])
        except ClientDisconnected:
            return
        if kind := ANSWERED.get(answer.status):
            self._refusals.note(kind, answer.status)
        await answer.send(send)

    async def _callback(self, scope: Scope, receive: Receive, account: str, channel: str) -> Answer:
        methods = METHODS.get(channel)
        if methods is None or account not in self._accounts:
            return Answer.text(404, "no such account or channel")
        if scope["method"] not in methods:
            return Answer.text(405, "method not allowed", (b"allow", ", ".join(methods).encode()))
        answer = await self._accept(scope, receive, account, cast("Channel", channel))
        requests_counter(channel, answer.status).inc()
        return answer

    async def _accept(self, scope: Scope, receive: Receive, account: str, channel: Channel) -> Answer:
        headers, query = dict(scope["headers"]), scope["query_string"].decode("latin-1")
        method, answer = cast("Method", scope["method"]), STORED
        try:
            self._check_length(headers)
            body = await _body(receive, self._max_body_bytes)
            if method == "POST" and not body:
                return Answer.text(400, "the body is empty")
            content_type = headers.get(b"content-type", b"").decode("latin-1")
            # token_hex is as unique as a UUID and takes a sixth of the time
            envelope = Envelope(token_hex(16), account, channel, method, self._clock(), body, content_type, query)
            if body or query:
                await self._store.put(envelope)
        except BodyTooLarge:
            return Answer.text(413, f"over {self._max_body_bytes} bytes")
        except NotStored as error:
            UNSTORED.labels(channel).inc()
            self._log_not_stored(account, channel, str(error))
            answer = NOT_STORED
        return self._redirect(query) if channel == "return" else answer

    def _check_length(self, headers: dict[bytes, bytes]) -> None:
        """Check the declared length before the body is received: a flood of large bodies costs time even if refused.

        Raises:
            BodyTooLarge: It is over the limit.
            NotStored: The body is large and can't be stored now.
        """
        declared = headers.get(b"content-length", b"")
        length = int(declared) if declared.isdigit() else 0
        if length > self._max_body_bytes:
            raise BodyTooLarge
        if length > LARGE:
            self._store.check(length)

    def _log_not_stored(self, account: str, channel: Channel, why: str) -> None:
        if count := self._log_limiter.due((account, channel, why)):
            log.warning("callback.not_stored", account=account, channel=channel, why=why, count=count)

    def _redirect(self, query: str) -> Answer:
        """Redirect the browser whether or not the callback is stored: the notify callback carries the same result."""
        if not self._redirect_url:
            return Answer(200, FINISHED_PAGE, ((b"content-type", b"text/html; charset=utf-8"),))
        target = redirect_target(self._redirect_url, query).encode("latin-1", "replace")
        return Answer(303, b"", ((b"location", target), (b"cache-control", b"no-store")))

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        """Handle the ASGI lifespan: monitor the backlog from startup to shutdown."""
        await receive()
        monitor = asyncio.create_task(self._store.monitor())
        await send({"type": "lifespan.startup.complete"})
        await receive()
        monitor.cancel()
        await self._store.close()
        await send({"type": "lifespan.shutdown.complete"})


def _health(path: str, method: str) -> Answer:
    """The answer outside of `/callbacks/`."""
    if path != "/healthz":
        return Answer.text(404, "not found")
    if method not in {"GET", "HEAD"}:
        return Answer.text(405, "method not allowed", (b"allow", b"GET, HEAD"))
    return Answer.text(200, "ok")


async def _body(receive: Receive, limit: int) -> bytes:
    """Receive the whole body of at most `limit` bytes.

    Raises:
        BodyTooLarge: What has arrived is over the limit. The rest is not received.
        ClientDisconnected: The client hung up.
    """
    body = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnected
        body += cast("bytes", message.get("body", b""))
        if len(body) > limit:
            raise BodyTooLarge
        if not message.get("more_body", False):
            return body
