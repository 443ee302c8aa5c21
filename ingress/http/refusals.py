"""What the ingress refuses: counted always, logged once a minute for each kind."""

from enum import Enum
from typing import Final

import structlog

from ingress.http.answer import Answer
from ingress.http.metrics import REFUSALS
from shared.log_limiter import LogLimiter

log = structlog.get_logger()


class Refusal(Enum):
    """Why a request or its connection is refused, and the answer. Status 0: the connection is closed without one."""

    MALFORMED = ("malformed", 400, "not an HTTP/1.1 request")
    TIMEOUT = ("timeout", 408, "the request was not complete in time")
    BODY = ("body", 413, "the body is too long")
    URL = ("url", 414, "the query is over 2048 bytes")
    HEADERS = ("headers", 431, "the headers are over 8192 bytes")
    PIPELINED = ("pipelined", 503, "too many requests at once on one connection")
    SILENT = ("silent", 0, "")
    CONNECTIONS = ("connections", 0, "")
    MEMORY = ("memory", 0, "")

    def __init__(self, kind: str, status: int, line: str) -> None:
        self.kind = kind
        self.status = status
        self.line = line

    def answer(self) -> Answer:
        """The answer to the client."""
        retry = ((b"retry-after", b"5"),) if self.status == 503 else ()
        return Answer.text(self.status, self.line, *retry)


ANSWERED: Final = {400: "empty", 404: "not_found", 405: "method", 413: "body"}
"""The kinds of the application's own refusals, by status."""


class Refusals:
    """Counts and logs refusals."""

    def __init__(self, log_limiter: LogLimiter | None = None) -> None:
        self._log_limiter = log_limiter or LogLimiter()

    def note(self, kind: str, status: int) -> None:
        """Count a refusal. Log it unless this kind was logged within the last minute."""
        REFUSALS.labels(kind).inc()
        if count := self._log_limiter.due(kind):
            log.warning("request.refused", kind=kind, status=status, count=count)
