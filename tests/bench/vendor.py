"""A GetResult server that uses very little CPU: `python -m tests.bench.vendor PORT DELAY_SECONDS`.

It looks only for the end of a request and for its biz_id, in the query or in a form. `/stats` returns the number of
answered requests, and the highest number of requests at the same time.
"""

import asyncio
import json
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast
from urllib.request import urlopen

import uvloop

from deploy.local.ports import free_port, is_listening
from deploy.local.program import Program
from tests.bench.callbacks import answer_around
from tests.bench.cores import cpu_seconds, under_test

_BIZ_ID: Final = re.compile(rb"biz_id=([^& \r\n]+)")
_LENGTH: Final = re.compile(rb"\r\ncontent-length: *([0-9]+)", re.IGNORECASE)
_HEAD_END: Final = b"\r\n\r\n"
_BEFORE, _AFTER = answer_around()


class Stats:
    """Counters of all connections."""

    def __init__(self) -> None:
        self.answered = 0
        self.in_work = 0
        self.most = 0


class Answers(asyncio.Protocol):
    """One connection. Its requests are answered after the delay."""

    def __init__(self, delay: float, stats: Stats) -> None:
        self._delay = delay
        self._stats = stats
        self._unread = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one by its methods only

    def data_received(self, data: bytes) -> None:
        self._unread += data
        while (end := request_end(self._unread)) <= len(self._unread):
            request, self._unread = self._unread[:end], self._unread[end:]
            self._answer(request)

    def _answer(self, request: bytes) -> None:
        found = _BIZ_ID.search(request)
        if found is None:
            stats = {"answered": self._stats.answered, "most": self._stats.most}
            self._transport.write(_response(json.dumps(stats).encode()))
            return
        answer = _response(_BEFORE + found[1].replace(b"%2C", b",") + _AFTER)
        self._stats.in_work += 1
        self._stats.most = max(self._stats.most, self._stats.in_work)
        if self._delay:
            asyncio.get_running_loop().call_later(self._delay, self._send, answer)
        else:
            self._send(answer)

    def _send(self, answer: bytes) -> None:
        self._stats.in_work -= 1
        self._stats.answered += 1
        if not self._transport.is_closing():
            self._transport.write(answer)


def request_end(unread: bytes) -> int:
    """Where the first request ends. Larger than the length of `unread`: it is not complete."""
    head = unread.find(_HEAD_END)
    if head < 0:
        return len(unread) + 1
    length = _LENGTH.search(unread, 0, head + 2) if unread.startswith(b"POST") else None
    return head + len(_HEAD_END) + (int(length[1]) if length else 0)


def _response(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body)


async def serve(port: int, delay: float) -> None:
    """Serve until the process is killed."""
    stats = Stats()
    server = await asyncio.get_running_loop().create_server(lambda: Answers(delay, stats), "127.0.0.1", port)
    await server.serve_forever()


@dataclass(frozen=True)
class Vendor:
    """The server as a process."""

    port: int
    pid: int

    @property
    def base_url(self) -> str:
        """The value of FACEID_BASE_URL."""
        return f"http://127.0.0.1:{self.port}/faceid/lite"

    @property
    def url(self) -> str:
        """The URL of GetResult."""
        return f"{self.base_url}/get_result"

    def stats(self) -> dict[str, Any]:
        """`answered`: requests so far. `most`: the highest number at the same time."""
        with urlopen(f"http://127.0.0.1:{self.port}/stats") as response:
            stats: dict[str, Any] = json.load(response)
            return stats

    def cpu_seconds(self) -> float:
        """CPU seconds used so far."""
        return cpu_seconds([self.pid])


@contextmanager
def vendor(folder: Path, delay: float = 0.0, *, tested: bool = False) -> Iterator[Vendor]:
    """Run the server. `tested`: on the core under test, else on the other cores."""
    port = free_port()
    command = [sys.executable, "-m", "tests.bench.vendor", str(port), str(delay)]
    program = Program("vendor", under_test(command) if tested else command, os.environ, folder)
    program.start()
    try:
        program.wait(lambda: is_listening("127.0.0.1", port), 60)
        yield Vendor(port, program.pid)
    finally:
        program.stop(10)


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), float(sys.argv[2])))
