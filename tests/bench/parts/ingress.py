"""The ingress stores a callback and then answers: bodies of 1.2 KB, 64 connections, one request at a time on each."""

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

from redis import Redis

from deploy.local.ports import free_port, is_listening
from deploy.local.program import Program
from deploy.local.redis_server import Fsync
from deploy.local.stack import FACEID
from tests.bench import wrk
from tests.bench.cores import cpu_seconds, under_test
from tests.bench.measuring import Measured, WrongCount
from tests.bench.numbers import Measure, Rows, Table, median_of
from tests.bench.peer import Peer, peers
from tests.bench.pipelines import OURS_IN, environment, redis_server, running
from tests.bench.sizes import Sizes

TITLE: Final = "Callbacks taken in: stored, then answered"
EMPTY: Final = "an empty ASGI app on the same server"
OURS: Final = "ours"
WARM_REQUESTS: Final = 300
MODES: Final[tuple[Fsync, ...]] = ("everysec", "always")


@dataclass(frozen=True)
class HttpServer:
    """An HTTP server that receives callbacks. It gets its port in its command or in its environment."""

    command: Callable[[int], Sequence[str]]
    path: str = "/"
    environment: Callable[[str, int], Mapping[str, str]] = field(default=lambda _url, _port: os.environ)
    stored: Callable[[Any], int] | None = None
    """Counts the callbacks that it has stored in this Redis. None: it stores nothing."""


def ours() -> HttpServer:
    """Our ingress."""
    return HttpServer(
        command=lambda _port: [*FACEID, "ingress"],
        path="/callbacks/default/notify",
        environment=lambda url, port: environment(url, {"FACEID_LISTEN": f"127.0.0.1:{port}"}),
        stored=lambda redis: int(redis.xlen(OURS_IN)),
    )


def of_peer(peer: Peer) -> HttpServer:
    """A peer's server."""
    return HttpServer(
        command=lambda port: peer.command("serve", str(port)),
        environment=lambda url, _port: {**peer.environment(), "BENCH_REDIS_URL": url},
        stored=lambda redis: int(redis.llen(peer.queue)),
    )


def measures(sizes: Sizes) -> dict[str, Measure]:
    """What is measured in each round, in turn."""
    empty = HttpServer(command=lambda port: [sys.executable, "-m", "tests.bench.empty_app", str(port)])
    made: dict[str, Measure] = {EMPTY: partial(measure_server, http_server=empty, sizes=sizes, fsync="everysec")}
    http_servers = {OURS: ours(), **{peer.title: of_peer(peer) for peer in peers("ingress")}}
    for fsync in MODES:
        for name, http_server in http_servers.items():
            made[row(name, fsync)] = partial(measure_server, http_server=http_server, sizes=sizes, fsync=fsync)
    return made


def row(name: str, fsync: Fsync) -> str:
    """The name of a row."""
    return f"{name}, appendfsync {fsync}"


def measure_server(folder: Path, http_server: HttpServer, sizes: Sizes, fsync: Fsync) -> Measured:
    """How fast one server stores and answers callbacks."""
    with redis_server(folder, fsync) as server, warm(folder, http_server, server.url) as (_, load):
        measured = load.run(sizes.seconds_of_requests)
        with Redis.from_url(server.url) as redis:
            stored = http_server.stored(redis) if http_server.stored else load.answered
    if stored < load.answered:
        raise WrongCount(f"{stored} stored of {load.answered} answered")
    return measured


@contextmanager
def warm(folder: Path, http_server: HttpServer, redis_url: str) -> Iterator[tuple[int, wrk.Load]]:
    """Start a server and send it some requests. Gives its process id, and the load generator."""
    port = free_port()
    program = Program(
        "http_server", under_test(http_server.command(port)), http_server.environment(redis_url, port), folder
    )
    with running([program]) as pids:
        program.wait(lambda: is_listening("127.0.0.1", port), 60)
        load = wrk.Load(f"http://127.0.0.1:{port}{http_server.path}", folder, lambda: cpu_seconds(pids))
        while load.answered < WARM_REQUESTS:
            load.run(1)
        yield pids[0], load


def table(rows: Rows) -> Table:
    """The rows in the order of measuring."""
    return Table(
        TITLE,
        ("", "requests/s", "of the empty app", "p50 ms", "p99 ms", "CPU µs each", "of a core"),
        [
            (
                name,
                f"{median_of(rows, name, 'rate'):,.0f}",
                f"{median_of(rows, name, 'rate') / median_of(rows, EMPTY, 'rate'):.2f}",
                f"{median_of(rows, name, 'p50'):.1f}",
                f"{median_of(rows, name, 'p99'):.1f}",
                f"{median_of(rows, name, 'cpu_us'):,.0f}",
                f"{median_of(rows, name, 'share'):.2f}",
            )
            for name in rows
        ],
    )
