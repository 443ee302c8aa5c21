"""An HTTP answer."""

from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any, Self

Header = tuple[bytes, bytes]


@dataclass(frozen=True, slots=True)
class Answer:
    """Status, body and headers; the length is added when it is sent."""

    status: int
    body: bytes
    headers: tuple[Header, ...]

    @classmethod
    def text(cls, status: int, line: str, *headers: Header) -> Self:
        """A line of plain text."""
        return cls(status, f"{line}\n".encode(), ((b"content-type", b"text/plain; charset=utf-8"), *headers))

    async def send(self, send: Callable[[MutableMapping[str, Any]], Awaitable[None]]) -> None:
        """Hand it to the server."""
        length = (b"content-length", str(len(self.body)).encode())
        await send({"type": "http.response.start", "status": self.status, "headers": [*self.headers, length]})
        await send({"type": "http.response.body", "body": self.body})
