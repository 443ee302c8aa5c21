"""The whole pipeline with GetResult over loopback, compared with asynchronous peers and common HTTP clients.

The GetResult server answers at once, or after 100 ms with 256 calls in flight, which limits the rate to 2,560 a second.
Every pipeline reads each result once and compares it with the signed callback.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

from tests.bench.measuring import Measured
from tests.bench.numbers import Measure, Rows, Table, median_of
from tests.bench.peer import Peer, peers
from tests.bench.pipelines import OurPipeline, PeerPipeline, Pipeline, measure_pipeline
from tests.bench.sizes import Sizes
from tests.bench.vendor import vendor
from tests.bench.work import HTTP_CLIENTS
from tests.bench.wrk import Load

TITLE: Final = "The whole, GetResult over loopback"
OURS: Final = "ours"
ALONE: Final = "GetResult's stand-in by itself, on a core of its own"
SLOW: Final = ", answers after 100 ms"
SLOW_SECONDS: Final = 0.1
IN_FLIGHT: Final = 256
CEILING: Final = IN_FLIGHT / SLOW_SECONDS


def measures(sizes: Sizes) -> dict[str, Measure]:
    """What is measured in each round, in turn."""
    made: dict[str, Measure] = {
        ALONE: partial(alone, seconds=sizes.seconds_of_requests),
        OURS: partial(reconciled, made=ours, count=sizes.whole),
        OURS + SLOW: partial(reconciled, made=ours_in_flight, count=sizes.slow_answers, delay=SLOW_SECONDS),
    }
    for peer in peers("whole"):
        for client in HTTP_CLIENTS:
            made[row(peer, client)] = partial(reconciled, made=partial(of_peer, peer, client), count=sizes.whole_peers)
    for peer in peers("whole"):
        made[row(peer, "aiohttp") + SLOW] = partial(
            reconciled, made=partial(of_peer, peer, "aiohttp"), count=sizes.whole_peers, delay=SLOW_SECONDS
        )
    return made


def row(peer: Peer, client: str) -> str:
    """The name of a row."""
    return f"{peer.title} with {client}"


def ours(base_url: str) -> Pipeline:
    """Our worker with its default settings."""
    return OurPipeline(settings={"FACEID_BASE_URL": base_url})


def ours_in_flight(base_url: str) -> Pipeline:
    """Our worker with so many calls in flight. It holds more messages, as it does by default."""
    return OurPipeline(settings={"FACEID_BASE_URL": base_url, "FACEID_GETRESULT_CONCURRENCY": str(IN_FLIGHT)})


def of_peer(peer: Peer, client: str, base_url: str) -> Pipeline:
    """A peer that runs as many tasks as may be in flight."""
    url = f"{base_url}/get_result"
    return PeerPipeline(peer, {"GETRESULT_URL": url, "HTTP_CLIENT": client, "IN_FLIGHT": str(IN_FLIGHT)})


def reconciled(folder: Path, made: Callable[[str], Pipeline], count: int, delay: float = 0.0) -> Measured:
    """A measurement with GetResult; `most`: calls in flight. `vendor_us`: CPU of the GetResult server for each call."""
    with vendor(folder, delay) as getresult:
        measured = measure_pipeline(folder, made(getresult.base_url), count)
        stats = getresult.stats()
        vendor_us = getresult.cpu_seconds() / stats["answered"] * 1e6
        return {**measured, "most": stats["most"], "reads": stats["answered"] / count, "vendor_us": vendor_us}


def alone(folder: Path, seconds: int) -> Measured:
    """Measure the GetResult server alone, with the load of wrk."""
    with vendor(folder, tested=True) as getresult:
        return Load(f"{getresult.url}?biz_id=1462259748%2Cx", folder, getresult.cpu_seconds, post=False).run(seconds)


def table(rows: Rows) -> Table:
    """The rows in the order of measuring."""
    return Table(
        TITLE,
        ("", "a second", "CPU µs each", "of a core", "reads each", "most in flight"),
        [
            (
                name,
                f"{median_of(rows, name, 'rate'):,.0f}",
                f"{median_of(rows, name, 'cpu_us'):,.0f}",
                f"{median_of(rows, name, 'share'):.2f}",
                "" if name == ALONE else f"{median_of(rows, name, 'reads'):.2f}",
                "" if name == ALONE else f"{median_of(rows, name, 'most'):.0f}",
            )
            for name in rows
        ],
    )


def peer_names(rows: Rows, client: str) -> list[str]:
    """The names of the rows of peers with this client."""
    return [name for name in rows if name.endswith(f"with {client}")]
