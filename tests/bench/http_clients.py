"""Which HTTP client for GetResult: `python -m tests.bench.http_clients`.

The same work for each client: 64 GetResult calls in flight against a server in another process that costs next to
nothing, 5,000 calls a round, three rounds in turns. The CPU time is the client process's own, all its threads.
"""

import asyncio
import json
import multiprocessing
import socket
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import cast

import aiohttp
import httpx
import uvloop
from pyreqwest.client import ClientBuilder
from rich.console import Console
from rich.table import Table

from deploy.simulator.scenarios import SCENARIOS, Subject, document
from deploy.simulator.serve import listening_socket

ROUNDS = 3
CALLS = 5_000
IN_FLIGHT = 64
BIZ_ID = "1462259748,52b13fb5-8dfb-4537-a62b-a641d5e929f1"
QUERY = {"api_key": "key", "api_secret": "secret", "biz_id": BIZ_ID}

Get = Callable[[], Awaitable[bytes]]
Client = Callable[[str], AbstractAsyncContextManager[Get]]


@dataclass(frozen=True)
class Round:
    """One round of one client."""

    calls_per_second: float
    cpu_microseconds: float
    """For each call."""


def answer() -> bytes:
    """A GetResult answer with its head, 1.3 KB of body."""
    subject = Subject(BIZ_ID, "cc47190f", "x" * 420, multifaces_tag_wanted=True)
    body = json.dumps(document(subject, SCENARIOS["two-refs"].evidence, 1462259763)).encode()
    head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


class CannedAnswers(asyncio.Protocol):
    """Answers every request the same, looking for the end of its head only."""

    def __init__(self) -> None:
        self._answer = answer()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one by its methods only

    def data_received(self, data: bytes) -> None:
        self._transport.write(self._answer * data.count(b"\r\n\r\n"))


def serve(listener: socket.socket) -> None:
    async def forever() -> None:
        server = await asyncio.get_running_loop().create_server(CannedAnswers, sock=listener)
        await server.serve_forever()

    uvloop.run(forever())


@asynccontextmanager
async def with_httpx(url: str) -> AsyncIterator[Get]:
    limits = httpx.Limits(max_connections=IN_FLIGHT, max_keepalive_connections=IN_FLIGHT)
    async with httpx.AsyncClient(limits=limits, trust_env=False) as client:

        async def get() -> bytes:
            return (await client.get(url, params=QUERY)).content

        yield get


@asynccontextmanager
async def with_aiohttp(url: str) -> AsyncIterator[Get]:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=IN_FLIGHT)) as client:

        async def get() -> bytes:
            async with client.get(url, params=QUERY) as response:
                return await response.read()

        yield get


@asynccontextmanager
async def with_pyreqwest(url: str) -> AsyncIterator[Get]:
    async with ClientBuilder().no_proxy().follow_redirects(False).max_connections(IN_FLIGHT).build() as client:

        async def get() -> bytes:
            response = await client.get(url).query(QUERY).build().send()
            return bytes(await response.bytes())

        yield get


CLIENTS: dict[str, Client] = {"httpx": with_httpx, "aiohttp": with_aiohttp, "pyreqwest": with_pyreqwest}


async def measure(client: Client, url: str) -> Round:
    async with client(url) as get:
        expected = len(await get())
        left = iter(range(CALLS))

        async def work() -> None:
            for _ in left:
                assert len(await get()) == expected

        wall, cpu = time.perf_counter(), time.process_time()
        await asyncio.gather(*(work() for _ in range(IN_FLIGHT)))
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return Round(CALLS / wall, cpu / CALLS * 1e6)


async def measure_all(url: str) -> dict[str, list[Round]]:
    rounds: dict[str, list[Round]] = {name: [] for name in CLIENTS}
    for _ in range(ROUNDS):
        for name, client in CLIENTS.items():
            rounds[name].append(await measure(client, url))
    return rounds


def table(rounds: dict[str, list[Round]]) -> Table:
    speed = {name: statistics.median(each.calls_per_second for each in taken) for name, taken in rounds.items()}
    cpu = {name: statistics.median(each.cpu_microseconds for each in taken) for name, taken in rounds.items()}
    drawn = Table(title=f"GetResult over loopback, {IN_FLIGHT} in flight, medians of {ROUNDS} x {CALLS:,} calls")
    for heading in ("client", "calls/s", "x httpx", "CPU µs a call", "calls a CPU second", "x httpx"):
        drawn.add_column(heading, justify="left" if heading == "client" else "right")
    for name in rounds:
        times, cheaper = speed[name] / speed["httpx"], cpu["httpx"] / cpu[name]
        drawn.add_row(
            name, f"{speed[name]:,.0f}", f"{times:.1f}", f"{cpu[name]:.0f}", f"{1e6 / cpu[name]:,.0f}", f"{cheaper:.1f}"
        )
    return drawn


def main() -> None:
    with listening_socket("127.0.0.1:0") as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/faceid/lite/get_result"
        server = multiprocessing.get_context("fork").Process(target=serve, args=(listener,), daemon=True)
        server.start()
        try:
            rounds = uvloop.run(measure_all(url))
        finally:
            server.terminate()
    Console().print(table(rounds))


if __name__ == "__main__":
    main()
