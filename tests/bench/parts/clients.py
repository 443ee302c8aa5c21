"""HTTP clients for GetResult, compared: 64 calls in flight, answers of 1.1 KB, a process that does nothing else."""

import os
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Final

from tests.bench.cores import under_test
from tests.bench.http_clients import CLIENTS
from tests.bench.measuring import Measured
from tests.bench.numbers import Measure, Rows, Table, median_of
from tests.bench.sizes import Sizes
from tests.bench.vendor import vendor

TITLE: Final = "HTTP clients on GetResult"
SLOWEST: Final = "httpx"


def measures(sizes: Sizes) -> dict[str, Measure]:
    """What is measured in each round, in turn."""
    return {name: partial(called, client=name, calls=sizes.calls) for name in CLIENTS}


def called(folder: Path, client: str, calls: int) -> Measured:
    """Measure the calls of one client."""
    with vendor(folder) as getresult:
        words = (client, getresult.url, str(calls))
        command = under_test([sys.executable, "-m", "tests.bench.http_clients", *words])
        output = subprocess.run(command, env=os.environ, capture_output=True, text=True, check=True).stdout
    seconds, cpu = map(float, output.split())
    return {"rate": calls / seconds, "cpu_us": cpu / calls * 1e6, "share": cpu / seconds}


def table(rows: Rows) -> Table:
    """In the order of measuring."""
    return Table(
        TITLE,
        ("", "calls/s", f"times {SLOWEST}", "CPU µs a call", "of a core"),
        [
            (
                name,
                f"{median_of(rows, name, 'rate'):,.0f}",
                f"{median_of(rows, name, 'rate') / median_of(rows, SLOWEST, 'rate'):.1f}",
                f"{median_of(rows, name, 'cpu_us'):,.0f}",
                f"{median_of(rows, name, 'share'):.2f}",
            )
            for name in rows
        ],
    )
