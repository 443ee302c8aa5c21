"""The HTTP answers of the ingress."""

from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Self

Header = tuple[bytes, bytes]


@dataclass(frozen=True, slots=True)
class Answer:
    """Status, body and headers of one answer. `send` adds the content length."""

    status: int
    body: bytes
    headers: tuple[Header, ...]

    @classmethod
    def text(cls, status: int, line: str, *headers: Header) -> Self:
        """Make an answer of one line of plain text."""
        return cls(status, f"{line}\n".encode(), ((b"content-type", b"text/plain; charset=utf-8"), *headers))

    async def send(self, send: Callable[[MutableMapping[str, Any]], Awaitable[None]]) -> None:
        """Send it through the ASGI callable `send`."""
        length = (b"content-length", str(len(self.body)).encode())
        await send({"type": "http.response.start", "status": self.status, "headers": [*self.headers, length]})
        await send({"type": "http.response.body", "body": self.body})

    def last(self, *headers: Header) -> bytes:
        """The bytes of this answer with further headers, for a connection that is closed after it."""
        length = (b"content-length", str(len(self.body)).encode())
        fields = (*headers, *self.headers, length, (b"connection", b"close"))
        start = f"HTTP/1.1 {self.status} {HTTPStatus(self.status).phrase}\r\n".encode()
        return b"".join((start, *(b"%b: %b\r\n" % field for field in fields), b"\r\n", self.body))
