"""The limits of what clients may send to the ingress. No I/O."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

MAX_QUERY_BYTES: Final = 2048
MAX_URL_BYTES: Final = 4096
"""Of the path with its query."""
MAX_HEADER_BYTES: Final = 8192
"""Of all headers of a request together."""
FEED_BYTES: Final = 8192
"""Most bytes that the HTTP parser gets at once: so much may arrive before a limit is checked."""
MAX_HEAD_BYTES: Final = MAX_URL_BYTES + MAX_HEADER_BYTES + 2 * FEED_BYTES
"""Received bytes without a complete head, after which it is refused: the parser keeps an unfinished header."""
MAX_PIPELINED: Final = 16
"""Requests that may wait on a connection for the answers to those before."""
MAX_HELD_BYTES: Final = 64 * 1024 * 1024
"""Of all requests that are not complete. Beyond it the oldest ones are dropped."""

MAX_CONNECTIONS: Final = 4096
RESERVED_FILES: Final = 64
"""File descriptors for everything but the connections of clients: Redis, RabbitMQ, the admin listener, logs."""

_FRAMING: Final = 8
"""A chunk of one byte takes six bytes on the wire."""
_NAME_AND_VALUE: Final = len(b": \r\n")


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits that depend on the settings and on the system."""

    connections: int
    request_seconds: float
    """From a request's first byte, or from a new connection, to its last byte."""
    max_body_bytes: int
    idle_seconds: float = 5.0
    """How long a connection may wait for its next request."""
    closing_seconds: float = 2.0
    """How long a client may take to read the last answer."""

    @property
    def request_bytes(self) -> int:
        """Most bytes of one request on the wire."""
        return MAX_HEAD_BYTES + _FRAMING * self.max_body_bytes


def connection_limit(open_files: int) -> int:
    """Connections that fit below the process's limit of open files (RLIMIT_NOFILE; negative: none)."""
    return MAX_CONNECTIONS if open_files < 0 else max(1, min(MAX_CONNECTIONS, open_files - RESERVED_FILES))


def header_bytes(headers: Iterable[tuple[bytes, bytes]]) -> int:
    """The size of headers on the wire."""
    return sum(len(name) + len(value) + _NAME_AND_VALUE for name, value in headers)
