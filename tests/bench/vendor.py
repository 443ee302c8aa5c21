"""FaceID's GetResult as a server that costs next to nothing: `python -m tests.bench.vendor PORT DELAY_SECONDS`.

It reads of a request no more than where it ends and whose result is wanted, in the query or in a form. `/stats` tells
how many it has answered and how many were in work at once at most.
"""

import asyncio
import json
import re
import sys
from typing import Final, cast

import uvloop

from tests.bench.callbacks import answer_around

_BIZ_ID: Final = re.compile(rb"biz_id=([^& \r\n]+)")
_LENGTH: Final = re.compile(rb"\r\ncontent-length: *([0-9]+)", re.IGNORECASE)
_HEAD_END: Final = b"\r\n\r\n"
_BEFORE, _AFTER = answer_around()


class Stats:
    """Of all connections."""

    def __init__(self) -> None:
        self.answered = 0
        self.in_work = 0
        self.most = 0


class Answers(asyncio.Protocol):
    """One connection; requests on it are answered after the delay."""

    def __init__(self, delay: float, stats: Stats) -> None:
        self._delay = delay
        self._stats = stats
        self._unread = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one by its methods only

    def data_received(self, data: bytes) -> None:
        self._unread += data
        while (end := _end(self._unread)) <= len(self._unread):
            request, self._unread = self._unread[:end], self._unread[end:]
            self._take(request)

    def _take(self, request: bytes) -> None:
        found = _BIZ_ID.search(request)
        if found is None:
            stats = {"answered": self._stats.answered, "most": self._stats.most}
            self._transport.write(_response(json.dumps(stats).encode()))
            return
        answer = _response(_BEFORE + found[1].replace(b"%2C", b",") + _AFTER)
        self._stats.in_work += 1
        self._stats.most = max(self._stats.most, self._stats.in_work)
        if self._delay:
            asyncio.get_running_loop().call_later(self._delay, self._give, answer)
        else:
            self._give(answer)

    def _give(self, answer: bytes) -> None:
        self._stats.in_work -= 1
        self._stats.answered += 1
        if not self._transport.is_closing():
            self._transport.write(answer)


def _end(unread: bytes) -> int:
    """Where the first request ends; beyond the end while it is not whole."""
    head = unread.find(_HEAD_END)
    if head < 0:
        return len(unread) + 1
    length = _LENGTH.search(unread, 0, head + 2) if unread.startswith(b"POST") else None
    return head + len(_HEAD_END) + (int(length[1]) if length else 0)


def _response(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body)


async def serve(port: int, delay: float) -> None:
    """For ever."""
    stats = Stats()
    server = await asyncio.get_running_loop().create_server(lambda: Answers(delay, stats), "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), float(sys.argv[2])))
