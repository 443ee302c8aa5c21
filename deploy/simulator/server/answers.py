"""What one API call is answered with, rightly or wrongly."""

import asyncio
import time
from contextlib import suppress
from dataclasses import dataclass

from starlette.responses import HTMLResponse, Response
from starlette.types import Receive, Scope, Send

from deploy.simulator.model.faults import MESSAGES, ResultFault
from deploy.simulator.model.refusals import Refused
from deploy.simulator.model.scenarios import Document
from deploy.simulator.model.wire import json_text


@dataclass(frozen=True, slots=True)
class Call:
    """One call to the API: its id, and when it began by `time.perf_counter`."""

    request_id: str
    began: float

    def answer(self, document: Document, http_status: int = 200) -> Response:
        """The document with the two fields that every answer has."""
        time_used = int((time.perf_counter() - self.began) * 1000)
        text = json_text(document | {"request_id": self.request_id, "time_used": time_used})
        return Response(text, http_status, media_type="application/json")

    def refusal(self, refused: Refused, message_key: str = "error_message", http_status: int | None = None) -> Response:
        """The answer that says no."""
        return self.answer({message_key: refused.message}, http_status or refused.http_status)

    def fault(self, fault: ResultFault) -> Response:
        """The answer that goes wrong in the way of the fault."""
        if fault.kind == "hang":
            return Hanging()
        if fault.kind == "broken":
            return Broken()
        if fault.kind == "not-json":
            return HTMLResponse("<html><body><h1>Bad Gateway</h1></body></html>", fault.http_status or 502)
        return self.refusal(Refused(MESSAGES[fault.kind]), fault.message_key, fault.http_status)


class Hanging(Response):
    """No answer: waits until the caller hangs up."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer nothing; a server that stops ends the wait, which is no error."""
        with suppress(asyncio.CancelledError):
            while (await receive())["type"] != "http.disconnect":
                pass


class Broken(Response):
    """Half an answer: the server drops the connection where the rest should follow."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Promise a thousand bytes, and send twelve."""
        headers = [(b"content-type", b"application/json"), (b"content-length", b"1000")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b'{"status": "', "more_body": True})
