"""A profile of working processes: which code holds the interpreter's lock (GIL).

py-spy samples the process 400 times a second. A sample counts for the innermost of our own files on its stack, so the
time in a library counts for its caller. CPU time by thread is measured too: the threads of the pump and of the HTTP
client do most of their work without the lock.
"""

import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from time import perf_counter, sleep
from typing import Final

from redis import Redis

from tests.bench.callbacks import bodies
from tests.bench.cores import TICK
from tests.bench.measuring import Measured
from tests.bench.numbers import Measure, Rows, Table, median_of
from tests.bench.parts import ingress
from tests.bench.parts.queue import QUIET
from tests.bench.pipelines import OurPipeline, redis_server, running
from tests.bench.sizes import Sizes
from tests.bench.vendor import vendor

TITLE: Final = "Where the time goes, percent of the samples"
INGRESS: Final = "ingress"
ALONE: Final = "worker without GetResult"
WITH: Final = "worker with GetResult"
SHOWN: Final = (ALONE, WITH, INGRESS)
RATE: Final = "400"
STARTED: Final = 1000
"""Decisions after which a worker counts as warm."""
OTHER: Final = "the loop, and what is not named"
PARTS: Final = (
    ("form and signature", ("workers/faceid/form.py", "workers/faceid/verification.py")),
    ("strict JSON", ("workers/faceid/strict_json.py",)),
    ("the payload's model", ("workers/faceid/payload.py",)),
    ("comparing evidence", ("workers/decisioning/evidence.py",)),
    (
        "rules and verdict",
        ("workers/decisioning/classifier.py", "workers/decisioning/rules.py", "workers/decisioning/policy.py"),
    ),
    (
        "the decision and its event",
        ("workers/decisioning/decision_builder.py", "shared/events/decision.py", "shared/events/cloudevent.py"),
    ),
    ("the HTTP call", ("workers/faceid/getresult_client.py",)),
    ("the ledger", ("shared/ledger/ledger.py", "shared/ledger/script_batcher.py", "shared/ledger/redis_client.py")),
    (
        "the pump: reading, settling",
        ("workers/runtime/pump.py", "workers/sources/redis_streams.py", "workers/runtime/settlement.py"),
    ),
    ("the envelope", ("shared/messaging/envelope.py",)),
    (
        "group commit and publishing",
        ("shared/group_commit.py", "shared/brokers/redis_streams_publisher.py", "ingress/store.py"),
    ),
    ("stages and tasks", ("workers/",)),
    ("the ingress's own code", ("ingress/",)),
    ("the HTTP server", ("uvicorn/",)),
)
"""The parts by the files on a sample's stack. The first part that matches counts."""


def measures(sizes: Sizes) -> dict[str, Measure]:
    """What is measured in each round, in turn."""
    seconds = int(sizes.offered_seconds)
    return {
        INGRESS: partial(of_ingress, seconds=seconds),
        ALONE: partial(of_worker, seconds=seconds, read=False),
        WITH: partial(of_worker, seconds=seconds, read=True),
    }


def of_ingress(folder: Path, seconds: int) -> Measured:
    """Percent of the samples by part, under load."""
    with redis_server(folder, "everysec") as server, ingress.warm(folder, ingress.ours(), server.url) as (pid, load):
        return _shares(pid, seconds, folder, partial(load.run, seconds + 1))


def of_worker(folder: Path, seconds: int, read: bool) -> Measured:
    """Percent of the samples by part, and percent of a core by thread. The queue is never empty."""
    with ExitStack() as stack:
        server = stack.enter_context(redis_server(folder, "everysec"))
        getresult = stack.enter_context(vendor(folder)) if read else None
        pipeline = OurPipeline(settings={"FACEID_BASE_URL": getresult.base_url} if getresult else QUIET)
        pipeline.fill(server.url, bodies(6000 * seconds))
        (pid,) = stack.enter_context(running(pipeline.programs(server.url, folder)))
        redis = stack.enter_context(Redis.from_url(server.url))
        while pipeline.done(redis) < STARTED:
            sleep(0.01)
        before, started = _by_thread(pid), perf_counter()
        shares = _shares(pid, seconds, folder, lambda: None)
        spent, elapsed = _by_thread(pid) - before, perf_counter() - started
    return shares | {f"thread {name}": 100 * ticks / TICK / elapsed for name, ticks in spent.items()}


def _shares(pid: int, seconds: int, folder: Path, meanwhile: Callable[[], object]) -> Measured:
    samples = folder / "samples"
    spied = ("--pid", str(pid), "--duration", str(seconds), "--rate", RATE, "--gil", "--format", "raw")
    command = [str(Path(sys.executable).with_name("py-spy")), "record", *spied, "--output", str(samples)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as spy:
        meanwhile()
        if spy.wait(seconds + 30):
            raise RuntimeError("py-spy could not look into the process")
    found = counted(samples.read_text().splitlines())
    return {part: 100 * found[part] / found.total() for part in found}


def counted(lines: Iterable[str]) -> "Counter[str]":
    """Samples by part, from lines of a stack (`function (file:line)`, outermost first, `;` between) and a count."""
    found: Counter[str] = Counter()
    for line in lines:
        stack, _, count = line.rpartition(" ")
        found[_part(stack.split(";"))] += int(count)
    return found


def _part(stack: list[str]) -> str:
    for frame in reversed(stack):
        for part, files in PARTS:
            if any(file in frame for file in files) and "workers/worker.py" not in frame:
                return part
    return OTHER


def _by_thread(pid: int) -> "Counter[str]":
    """Clock ticks of CPU so far, of the threads of the loop, the pump and the HTTP client."""
    ticks: Counter[str] = Counter()
    for task in Path(f"/proc/{pid}/task").iterdir():
        name, _, rest = (task / "stat").read_text().partition("(")[2].rpartition(")")
        kind = (
            "of the loop" if task.name == str(pid) else "of the HTTP client" if "pyreqwest" in name else "of the pump"
        )
        fields = rest.split()
        ticks[kind] += int(fields[11]) + int(fields[12])
    return ticks


def table(rows: Rows) -> Table:
    """The largest part first."""
    names = {name for measured in rows.values() for each in measured for name in each}
    ordered = sorted(
        names, key=lambda name: (name.startswith("thread"), *(-_percent(rows, row, name) for row in SHOWN))
    )
    lines = [(_titled(name), *(_shown(rows, row, name) for row in SHOWN)) for name in ordered]
    return Table(TITLE, ("", *SHOWN), lines)


def _titled(name: str) -> str:
    return f"CPU {name.removeprefix('thread ')}'s thread, of a core" if name.startswith("thread") else name


def _percent(rows: Rows, row: str, name: str) -> float:
    return median_of({row: [{name: 0.0} | measured for measured in rows.get(row, ())]}, row, name)


def _shown(rows: Rows, row: str, name: str) -> str:
    percent = _percent(rows, row, name)
    return f"{percent:.1f}" if percent else ""
