"""The pipelines that are measured: ours, those of the peers, and a bare loop.

Each can be filled with callbacks, started, and its results counted.
"""

import os
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Final, Protocol

from redis import Redis

from deploy.local.program import Program
from deploy.local.redis_server import Fsync, RedisServer
from deploy.local.stack import DEMO_KEY, DEMO_SECRET, FACEID
from shared.brokers.factory import open_publisher
from tests.bench import bare_loop
from tests.bench.callbacks import bodies, stored
from tests.bench.cores import under_test
from tests.bench.measuring import Measured, count_repeats, measure_drain
from tests.bench.peer import Peer
from tests.bench.work import RESULTS

NO_REWRITE: Final = ("--auto-aof-rewrite-percentage", "0")
"""Redis must not rewrite its file during some of the measurements."""
ALL_STAGES: Final[tuple[tuple[str, ...], ...]] = ((),)
EACH_STAGE: Final = (("verify",), ("reconcile",), ("classify",), ("publish",))
OURS_IN: Final = "faceid.callbacks"
OURS_OUT: Final = "faceid.decisions"
AT_ONCE: Final = 500


class Pipeline(Protocol):
    """One way to turn callbacks into decisions."""

    @property
    def repeats(self) -> bool:
        """Whether a callback may have two results: true if delivery is at least once."""

    def fill(self, url: str, bodies: Iterable[str]) -> None:
        """Put callbacks into its queue on the Redis at `url`."""

    def programs(self, url: str, folder: Path) -> list[Program]:
        """Its worker processes, not yet started."""

    def done(self, redis: Any) -> int:
        """How many results there are."""

    def events(self, redis: Any) -> list[bytes]:
        """The results."""


@dataclass(frozen=True)
class OurPipeline:
    """Our workers. `processes`: for each process its stages; none means all."""

    processes: Sequence[Sequence[str]] = ALL_STAGES
    settings: Mapping[str, str] = field(default_factory=dict)
    repeats: bool = False

    def fill(self, url: str, bodies: Iterable[str]) -> None:
        publisher = open_publisher(url, 5.0)
        for some in in_batches(bodies):
            publisher.publish([stored(OURS_IN, body) for body in some])
        publisher.close()

    def programs(self, url: str, folder: Path) -> list[Program]:
        env = environment(url, self.settings)
        return [
            Program(f"worker-{number}", under_test([*FACEID, "worker", *stages]), env, folder)
            for number, stages in enumerate(self.processes, 1)
        ]

    def done(self, redis: Any) -> int:
        return int(redis.xlen(OURS_OUT))

    def events(self, redis: Any) -> list[bytes]:
        return [fields[b"body"] for _, fields in redis.xrange(OURS_OUT)]


@dataclass(frozen=True)
class PeerPipeline:
    """A peer's worker. `settings`: those of `tests.bench.work`, without the prefix BENCH_."""

    peer: Peer
    settings: Mapping[str, str] = field(default_factory=dict)
    repeats: bool = True

    def fill(self, url: str, bodies: Iterable[str]) -> None:
        load = "\n".join(bodies).encode()
        subprocess.run(self.peer.command("send"), input=load, env=self._environment(url), check=True)

    def programs(self, url: str, folder: Path) -> list[Program]:
        command = under_test(self.peer.command("work"))
        return [Program(self.peer.name, command, self._environment(url), folder)]

    def done(self, redis: Any) -> int:
        return int(redis.llen(RESULTS))

    def events(self, redis: Any) -> list[bytes]:
        return list(redis.lrange(RESULTS, 0, -1))

    def _environment(self, url: str) -> dict[str, str]:
        settings = {f"BENCH_{name}": value for name, value in self.settings.items()}
        return {**self.peer.environment(), "BENCH_REDIS_URL": url, **settings}


@dataclass(frozen=True)
class BareLoop:
    """redis-py in a loop. `work`: whether it decides the callbacks or only moves them."""

    work: bool
    repeats: bool = False

    def fill(self, url: str, bodies: Iterable[str]) -> None:
        for some in in_batches(bodies):
            bare_loop.send(Redis.from_url(url), some)

    def programs(self, url: str, folder: Path) -> list[Program]:
        command = [sys.executable, "-m", "tests.bench.bare_loop", *(["work"] if self.work else [])]
        return [Program("bare", under_test(command), {**os.environ, "BENCH_REDIS_URL": url}, folder)]

    def done(self, redis: Any) -> int:
        return int(redis.xlen(RESULTS))

    def events(self, redis: Any) -> list[bytes]:
        return [fields[b"body"] for _, fields in redis.xrange(RESULTS)]


def in_batches(bodies: Iterable[str]) -> Iterator[list[str]]:
    """The bodies, `AT_ONCE` at a time."""
    waiting = iter(bodies)
    while some := list(islice(waiting, AT_ONCE)):
        yield some


def environment(url: str, settings: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of our processes. They log warnings and errors only, as all pipelines do here."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("FACEID_")}
    ours = {"FACEID_REDIS_URL": url, "FACEID_API_KEY": DEMO_KEY, "FACEID_API_SECRETS": DEMO_SECRET}
    return {**kept, **ours, "FACEID_LOG_LEVEL": "warning", **(settings or {})}


def measure_pipeline(folder: Path, pipeline: Pipeline, count: int, fsync: Fsync = "everysec") -> Measured:
    """How fast one pipeline empties a queue that was filled before it started."""
    with redis_server(folder, fsync) as server:
        return measure_on(folder, pipeline, server.url, server.url, count)


def measure_on(folder: Path, pipeline: Pipeline, url: str, pipeline_url: str, count: int) -> Measured:
    """The same with a running Redis at `url`. The pipeline connects to it through `pipeline_url`."""
    pipeline.fill(url, bodies(count))
    with Redis.from_url(url) as redis, running(pipeline.programs(pipeline_url, folder)) as pids:
        measured = measure_drain(count, lambda: pipeline.done(redis), pids)
        twice = count_repeats(lambda: pipeline.events(redis), count, allowed=pipeline.repeats)
    return measured | {"twice": twice}


@contextmanager
def redis_server(folder: Path, fsync: Fsync) -> Iterator[RedisServer]:
    """A Redis that nothing else uses."""
    server = RedisServer(folder / "redis", fsync, NO_REWRITE)
    server.start()
    try:
        yield server
    finally:
        server.kill()


@contextmanager
def running(programs: Iterable[Program]) -> Iterator[list[int]]:
    """Run the programs until the block ends. Gives their process ids."""
    started = list(programs)
    try:
        for program in started:
            program.start()
        yield [program.pid for program in started]
    finally:
        for program in started:
            program.stop(10)
