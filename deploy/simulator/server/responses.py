"""The HTTP responses of FaceID's API: documents, errors and faults."""

import asyncio
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from starlette.responses import HTMLResponse, Response
from starlette.types import Receive, Scope, Send

from deploy.simulator.model.api_errors import ApiError
from deploy.simulator.model.faults import ERROR_MESSAGES, ResultFault
from deploy.simulator.model.scenarios import Document
from deploy.simulator.model.wire import json_text

TOO_LARGE: Final = 5 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class ApiCall:
    """One call to the API. `began`: by `time.perf_counter`."""

    request_id: str
    began: float

    def document(self, content: Document, http_status: int = 200) -> Response:
        """Respond with a document, plus `request_id` and `time_used` (milliseconds), which every answer has."""
        time_used = int((time.perf_counter() - self.began) * 1000)
        text = json_text(content | {"request_id": self.request_id, "time_used": time_used})
        return Response(text, http_status, media_type="application/json")

    def error(self, error: ApiError, message_key: str = "error_message", http_status: int | None = None) -> Response:
        """Respond with an error."""
        return self.document({message_key: error.message}, http_status or error.http_status)

    def fault(self, fault: ResultFault) -> Response:
        """Respond as the fault says."""
        if fault.kind == "hang":
            return NoResponse()
        if fault.kind == "broken":
            return TruncatedResponse()
        if fault.kind == "not-json":
            return HTMLResponse("<html><body><h1>Bad Gateway</h1></body></html>", fault.http_status or 502)
        if fault.kind == "too-large":
            return self.document({"status": "OK", "images": {"image_best": "x" * TOO_LARGE}})
        return self.error(ApiError(ERROR_MESSAGES[fault.kind]), fault.message_key, fault.http_status)


class NoResponse(Response):
    """No response: waits until the caller closes the connection."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Wait. When the server stops, the wait is cancelled, which is not an error."""
        with suppress(asyncio.CancelledError):
            while (await receive())["type"] != "http.disconnect":
                pass


class TruncatedResponse(Response):
    """A response that is cut off: the server closes the connection before the end of the body."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Announce 1,000 bytes and send 12."""
        headers = [(b"content-type", b"application/json"), (b"content-length", b"1000")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b'{"status": "', "more_body": True})
