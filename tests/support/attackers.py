"""Requests of anybody who has no secret: `python -m tests.support.attackers INGRESS_URL POSTS RETURNS SILENT`.

All run at once, as fast as the ingress answers. The silent connections stay until standard input ends. The process
then prints what it saw, as JSON.
"""

import asyncio
import json
import os
import resource
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import cycle, islice
from typing import Any, Final
from urllib.parse import urlsplit
from uuid import uuid4

from pyreqwest.client import Client
from pyreqwest.exceptions import PyreqwestError

from deploy.simulator.driver.browser import http_client

BODY_BYTES: Final = 262_144
"""The largest body that is accepted by default."""
LONG_QUERY: Final = 2000
"""Bytes; below the limit."""
LONGER_QUERY: Final = 60_000
"""Bytes; above every limit."""
AT_ONCE: Final = 32
"""Requests of each kind at the same time."""
PAUSE: Final = 1.0
"""Seconds before a silent connection that was closed is opened again."""
FORM: Final = "application/x-www-form-urlencoded"
Request = tuple[str, str, bytes]
"""Method, path with query, and body."""


def posts(count: int) -> Iterator[Request]:
    """Anonymous posts of the largest size: forms with a false signature, and no forms."""
    data = b"data=" + b"%22" * ((BODY_BYTES - 60) // 3)
    form = data + b"&sign=" + b"0" * 40
    rubbish = b"\x00\xff{" * (BODY_BYTES // 3)
    for body, channel in islice(cycle([(form, "notify"), (rubbish, "notify"), (form, "return")]), count):
        yield "POST", f"/callbacks/default/{channel}", body


def returns(count: int) -> Iterator[Request]:
    """Unsigned returns with an invented biz_id and a long query. One in four has a query above every limit."""
    for number in range(count):
        size = LONGER_QUERY if number % 4 == 3 else LONG_QUERY
        query = f"biz_id={int(time.time())}%2C{uuid4()}&x="
        yield "GET", f"/callbacks/default/return?{query}{'x' * (size - len(query))}", b""


class Attackers:
    """Everybody who attacks one ingress. `patience`: seconds for one request."""

    def __init__(self, url: str, patience: float = 60.0) -> None:
        self._url = url
        self._patience = patience
        self.sent: list[tuple[Request, int | str]] = []
        """Each request, with the status of its answer or `cut off`."""
        self.silent = 0
        """Silent connections that are open."""
        self.most_silent = 0
        self.closed = 0
        """Silent connections that the ingress has closed."""

    async def send_all(self, requests: Iterator[Request], at_once: int = AT_ONCE) -> None:
        """Send every request, `at_once` at the same time."""
        async with http_client(self._patience) as http:
            await asyncio.gather(*(self._send(http, requests) for _ in range(at_once)))

    async def _send(self, http: Client, requests: Iterator[Request]) -> None:
        for method, path, body in requests:
            request = http.request(method, self._url + path).header("content-type", FORM).body_bytes(body)
            try:
                answer: int | str = (await request.build().send()).status
            except PyreqwestError:
                answer = "cut off"
            self.sent.append(((method, path, body), answer))

    def answers(self) -> Counter[str]:
        """The number of answers by method and status."""
        return Counter(f"{method} {answer}" for (method, _, _), answer in self.sent)

    async def keep_silent(self, head: bytes) -> None:
        """Keep one connection open that never completes a request; open it again whenever it is closed."""
        address = urlsplit(self._url)
        while True:
            with suppress(OSError):
                reader, writer = await asyncio.open_connection(address.hostname, address.port)
                self.silent += 1
                self.most_silent = max(self.most_silent, self.silent)
                try:
                    writer.write(head)
                    await reader.read()
                    self.closed += 1
                finally:
                    self.silent -= 1
                    writer.close()
            await asyncio.sleep(PAUSE)


HEADS: Final = (
    b"",
    b"POST /callbacks/default/notify HTTP/1.1\r\nhost: x\r\n",
    b"POST /callbacks/default/notify HTTP/1.1\r\nhost: x\r\ncontent-length: 200000\r\n\r\ndata=",
)
"""What a silent connection sends: nothing, half of a head, or a head without its body."""


async def attack(url: str, counts: tuple[int, int, int], ended: Callable[[], Any]) -> dict[str, Any]:
    """Attack until all requests are sent and `ended` has returned. Returns what the ingress answered."""
    attackers = Attackers(url)
    silent = [asyncio.create_task(attackers.keep_silent(head)) for head in islice(cycle(HEADS), counts[2])]
    began = time.monotonic()
    await asyncio.gather(attackers.send_all(posts(counts[0])), attackers.send_all(returns(counts[1])))
    seconds = time.monotonic() - began
    await asyncio.to_thread(ended)
    for task in silent:
        task.cancel()
    return {
        "answers": dict(sorted(attackers.answers().items())),
        "seconds": seconds,
        "most_silent": attackers.most_silent,
        "silent_closed": attackers.closed,
    }


def main() -> None:
    """Attack as the arguments say, at the lowest priority: the machines of attackers are others."""
    os.nice(19)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    url, *counts = sys.argv[1:]
    posted, returned, silent = map(int, counts)
    print(json.dumps(asyncio.run(attack(url, (posted, returned, silent), sys.stdin.read))))


if __name__ == "__main__":
    main()
