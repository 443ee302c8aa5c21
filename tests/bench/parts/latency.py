"""From a notify to its decision in the results queue, at a rate that is offered whatever happens.

Ingress and worker share the core under test. Redis syncs at every write, as it has to for the promise that nothing is
lost. GetResult takes 20 ms, which are its own and not counted in what is beyond.
"""

from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Final

import uvloop

from deploy.local.ports import free_port, is_listening
from deploy.local.program import Program
from deploy.local.stack import FACEID
from tests.bench.cores import cpu_seconds, under_test
from tests.bench.entrants import environment, redis_server, running
from tests.bench.numbers import Measure, Rows, Table, median_of
from tests.bench.offering import offered
from tests.bench.sizes import Sizes
from tests.bench.vendor import vendor
from tests.bench.watching import Measured

TITLE: Final = "Notify to decision, milliseconds beyond GetResult's own 20"
RATES: Final = (50, 200, 1000)
OWN_SECONDS: Final = 0.02
SHOWN: Final = ("p50", "p90", "p99", "p99.9", "p100")


def measures(sizes: Sizes) -> dict[str, Measure]:
    """What is measured in each round, in turn."""
    return {row(rate): partial(latency, rate=rate, seconds=sizes.offered_seconds) for rate in RATES}


def row(rate: int) -> str:
    """How a row is called."""
    return f"{rate:,}/s offered"


def latency(folder: Path, rate: float, seconds: float) -> Measured:
    """One rate; `p0` to `p100` in milliseconds, GetResult's own time taken off."""
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
            measured = uvloop.run(offered(url, server.url, rate, seconds))
            share = (cpu_seconds(pids) - before) / (perf_counter() - started)
    own = OWN_SECONDS * 1000
    beyond = {name: value - own if name.startswith("p") else value for name, value in measured.items()}
    return beyond | {"share": share}


def table(rows: Rows) -> Table:
    """By rate."""
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
