"""One run: attackers and genuine sessions at once against a pipeline of its own, and what came of it."""

import asyncio
import json
import resource
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from redis import Redis

from deploy.local.stack import Stack
from tests.hostile.genuine import Genuine, get_result
from tests.hostile.observer import MIB, Observer
from tests.support.load import decisions
from tests.support.paths import ROOT
from tests.support.redis_clients import open_redis
from tests.support.simulated import running
from tests.support.stacks import limited_redis, new_stack

OPEN_FILES: Final = 1024
"""What the ingress may open: the usual soft limit."""
NO_PROGRESS: Final = 60.0
"""Seconds without a new decision after which the missing ones are given up."""
RSS_LIMIT: Final = 200 * MIB


@dataclass(frozen=True)
class Size:
    """How much of everything."""

    posts: int = 10_000
    returns: int = 10_000
    silent: int = 1_000
    rate: float = 50.0
    """Genuine sessions a second."""
    seconds: float = 120.0
    redis_mib: int = 100
    longest_answer: float = 1.0
    """Seconds in which every genuine callback has to be answered."""
    store_timeout: float = 0.8
    """FACEID_STORE_TIMEOUT_SECONDS."""


@dataclass(frozen=True)
class Promise:
    """A promise, what was found, and whether it was kept."""

    name: str
    promised: str
    found: str
    kept: bool


@dataclass(frozen=True)
class Outcome:
    """What came of a run."""

    size: Size
    genuine: Genuine
    attack: dict[str, Any]
    undecided: int
    ingress_rss: int
    redis_memory: int
    open_files: int
    died: tuple[str, ...]

    def promises(self) -> Iterator[Promise]:
        """Every promise."""
        limit, longest = self.size.longest_answer, max(self.genuine.seconds, default=0.0)
        count = len(self.genuine.seconds)
        late = sum(seconds > limit for seconds in self.genuine.seconds)
        answered = f"{count - self.genuine.refused} of {count}"
        yield Promise("genuine callbacks answered 2xx or 303", "all", answered, self.genuine.refused == 0)
        yield Promise(f"answered within {limit:g} s", "all", f"{count - late}; longest {longest:.2f} s", late == 0)
        decided = self.genuine.sessions - self.undecided
        yield Promise("genuine sessions decided", "all", f"{decided} of {self.genuine.sessions}", not self.undecided)
        rss = f"{self.ingress_rss / MIB:.0f} MiB"
        yield Promise("memory of the ingress", f"< {RSS_LIMIT // MIB} MiB", rss, self.ingress_rss < RSS_LIMIT)
        yield Promise("processes that died", "none", ", ".join(self.died) or "none", not self.died)


async def play(size: Size, folder: Path) -> Outcome:
    """Attack a pipeline in the folder while genuine sessions come in."""
    async with pipeline(size, folder) as stack:
        with open_redis(stack.redis_url) as redis:
            observer, genuine = Observer(stack.ingress.pid, redis), Genuine(stack.ingress_url)
            watching = asyncio.create_task(observer.run())
            with attackers(stack.ingress_url, size) as attack:
                await genuine.run(size.rate, size.seconds)
                seen = await asyncio.to_thread(attack.communicate)
            undecided = await _undecided(redis, genuine.biz_ids())
            watching.cancel()
            return Outcome(
                size=size,
                genuine=genuine,
                attack=json.loads(seen[0] or "{}"),
                undecided=undecided,
                ingress_rss=observer.ingress_rss,
                redis_memory=observer.redis_memory,
                open_files=observer.open_files,
                died=tuple(program.name for program in stack.programs if not program.running),
            )


@asynccontextmanager
async def pipeline(size: Size, folder: Path) -> AsyncIterator[Stack]:
    """The pipeline, with default settings, a Redis of limited memory and a GetResult of this process."""
    with limited_redis(folder / "redis", size.redis_mib * MIB) as redis_url:
        async with running(get_result, "off") as url:
            settings = {
                "FACEID_BASE_URL": f"{url}/faceid/lite",
                "FACEID_STORE_TIMEOUT_SECONDS": str(size.store_timeout),
                "FACEID_GETRESULT_TIMEOUT_SECONDS": "10",
            }
            stack = new_stack(folder, redis_url=redis_url, settings=settings)
            with open_files(OPEN_FILES):
                await asyncio.to_thread(stack.start)
            try:
                yield stack
            finally:
                await asyncio.to_thread(stack.stop)


@contextmanager
def open_files(count: int) -> Iterator[None]:
    """Let processes that are started meanwhile open so many files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(count, hard), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@contextmanager
def attackers(url: str, size: Size) -> "Iterator[subprocess.Popen[str]]":
    """The attackers as a process. They end when their standard input is closed."""
    command = [sys.executable, "-m", "tests.support.attackers", url, *map(str, (size.posts, size.returns, size.silent))]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


async def _undecided(redis: "Redis", biz_ids: set[str]) -> int:
    """How many sessions have no decision when none has come for a while."""
    missing, since = len(biz_ids), time.monotonic()
    while missing and time.monotonic() - since < NO_PROGRESS:
        decided = {decision["biz_id"] for decision in await asyncio.to_thread(decisions, redis)}
        left = len(biz_ids - decided)
        if left < missing:
            missing, since = left, time.monotonic()
        await asyncio.sleep(0.5)
    return missing
