"""Measure one HTTP client with the GetResult server: `python -m tests.bench.http_clients NAME URL CALLS`.

The process makes 64 calls at a time and does nothing else. It prints the elapsed seconds, and the CPU seconds of all
its threads.
"""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Final

import aiohttp
import httpx
import uvloop
from pyreqwest.client import ClientBuilder

from tests.support.biz_ids import biz_id

IN_FLIGHT: Final = 64
WARM_CALLS: Final = 200
QUERY: Final = {"api_key": "key", "api_secret": "secret", "biz_id": biz_id(1)}

Get = Callable[[], Awaitable[bytes]]
Client = Callable[[str], AbstractAsyncContextManager[Get]]


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


async def measure(client: Client, url: str, calls: int) -> tuple[float, float]:
    """Measure the elapsed seconds and the CPU seconds of so many calls."""
    async with client(url) as get:
        expected = len(await get())

        async def work(left: Iterator[int]) -> None:
            for _ in left:
                assert len(await get()) == expected

        async def all_of(count: int) -> None:
            left = iter(range(count))
            await asyncio.gather(*(work(left) for _ in range(IN_FLIGHT)))

        await all_of(WARM_CALLS)
        wall, cpu = time.perf_counter(), time.process_time()
        await all_of(calls)
        return time.perf_counter() - wall, time.process_time() - cpu


if __name__ == "__main__":
    print(*uvloop.run(measure(CLIENTS[sys.argv[1]], sys.argv[2], int(sys.argv[3]))))
