"""The latency from a notify to its decision in the results queue, at fixed rates.

Ingress and worker share the core under test. Redis syncs every write, as the promise that nothing is lost requires. The
20 ms of GetResult are subtracted. The last row is the limit of this machine: a bare loop that reads from the queue,
decides on the callback alone, and writes the event.
"""

from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Final

import uvloop
from redis.asyncio import Redis

from deploy.local.ports import free_port, is_listening
from deploy.local.program import Program
from deploy.local.stack import FACEID
from deploy.simulator.driver.browser import http_client
from tests.bench import bare_loop
from tests.bench.cores import cpu_seconds, under_test
from tests.bench.measuring import Measured
from tests.bench.numbers import Measure, Rows, Table, median_of
from tests.bench.open_loop import run_open_loop
from tests.bench.pipelines import OURS_OUT, BareLoop, environment, redis_server, running
from tests.bench.sizes import Sizes
from tests.bench.vendor import vendor
from tests.bench.work import RESULTS
from tests.support.load import post

TITLE: Final = "Notify to decision, milliseconds beyond GetResult's own 20"
RATES: Final = (50, 200, 1000)
OWN_SECONDS: Final = 0.02
FLOOR_RATE: Final = 200
FLOOR: Final = f"a bare loop from queue to queue, {FLOOR_RATE}/s offered"
SHOWN: Final = ("p50", "p90", "p99", "p99.9", "p100")


def measures(sizes: Sizes) -> dict[str, Measure]:
    """What is measured in each round, in turn."""
    made: dict[str, Measure] = {row(rate): partial(latency, rate=rate, seconds=sizes.offered_seconds) for rate in RATES}
    return made | {FLOOR: partial(floor, rate=FLOOR_RATE, seconds=sizes.offered_seconds)}


def row(rate: int) -> str:
    """The name of a row."""
    return f"{rate:,}/s offered"


def latency(folder: Path, rate: float, seconds: float) -> Measured:
    """Measure one rate. `p0` to `p100` are milliseconds without GetResult's time."""
    port = free_port()
    with redis_server(folder, "always") as server, vendor(folder, OWN_SECONDS) as getresult:
        listen = {"FACEID_LISTEN": f"127.0.0.1:{port}", "FACEID_BASE_URL": getresult.base_url}
        env = environment(server.url, listen)
        ingress = Program("ingress", under_test([*FACEID, "ingress"]), env, folder)
        worker = Program("worker", under_test([*FACEID, "worker"]), env, folder)
        with running([ingress, worker]) as pids:
            ingress.wait(lambda: is_listening("127.0.0.1", port), 60)
            before, started = cpu_seconds(pids), perf_counter()
            url = f"http://127.0.0.1:{port}/callbacks/default/notify"
            measured = uvloop.run(_by_notify(url, server.url, rate, seconds))
            share = (cpu_seconds(pids) - before) / (perf_counter() - started)
    own = OWN_SECONDS * 1000
    beyond = {name: value - own if name.startswith("p") else value for name, value in measured.items()}
    return beyond | {"share": share}


class NotAccepted(Exception):
    """A callback was not answered with 200."""


async def _by_notify(url: str, redis_url: str, rate: float, seconds: float) -> Measured:
    async with http_client() as http, Redis.from_url(redis_url) as redis:

        async def send(form: bytes) -> None:
            if (status := await post(http, url, form)) != 200:
                raise NotAccepted(f"answered {status}")

        return await run_open_loop(send, redis, OURS_OUT, rate, seconds)


def floor(folder: Path, rate: float, seconds: float) -> Measured:
    """The same for the bare loop from one queue to another, without GetResult."""
    with redis_server(folder, "always") as server, running(BareLoop(work=True).programs(server.url, folder)) as pids:
        before, started = cpu_seconds(pids), perf_counter()
        measured = uvloop.run(_by_queue(server.url, rate, seconds))
        return measured | {"share": (cpu_seconds(pids) - before) / (perf_counter() - started)}


async def _by_queue(redis_url: str, rate: float, seconds: float) -> Measured:
    async with Redis.from_url(redis_url) as redis:

        async def send(form: bytes) -> None:
            await redis.xadd(bare_loop.CALLBACKS, {"body": form})

        return await run_open_loop(send, redis, RESULTS, rate, seconds)


def table(rows: Rows) -> Table:
    """The rows by rate."""
    return Table(
        TITLE,
        ("", *SHOWN, "sender late, p99", "of a core"),
        [
            (
                name,
                *(f"{median_of(rows, name, figure):.1f}" for figure in SHOWN),
                f"{median_of(rows, name, 'late'):.1f}",
                f"{median_of(rows, name, 'share'):.2f}",
            )
            for name in rows
        ],
    )
