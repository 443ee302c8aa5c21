"""What the ingress refuses: counted always, logged once a minute for each kind."""

import time
from collections import Counter
from collections.abc import Callable
from enum import Enum
from typing import Final

import structlog

from ingress.answer import Answer
from ingress.metrics import REFUSALS

log = structlog.get_logger()
LOG_SECONDS: Final = 60.0
"""Between two log lines about the same kind."""


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
    """Counts and logs refusals. For one asyncio loop."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._since = Counter[str]()
        self._logged_at: dict[str, float] = {}

    def note(self, kind: str, status: int) -> None:
        """Count a refusal. Log it unless this kind was logged within the last minute."""
        REFUSALS.labels(kind).inc()
        self._since[kind] += 1
        now = self._clock()
        if now - self._logged_at.get(kind, -LOG_SECONDS) < LOG_SECONDS:
            return
        self._logged_at[kind] = now
        log.warning("request.refused", kind=kind, status=status, count=self._since.pop(kind))
