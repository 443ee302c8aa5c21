"""The speed that this pipeline must reach compared with others, and whether it does."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import nan
from typing import Any, Final

from tests.bench.numbers import Rows, Table, median_of
from tests.bench.parts import ingress, latency, queue, whole
from tests.bench.peer import peers

Speed = Callable[[str], float]
"""The speed of a row: by elapsed time, or by CPU time, which depends less on other load of the machine."""


@dataclass(frozen=True)
class Aim:
    """How many times faster than a peer this pipeline must be in one part."""

    work: str
    part: str
    measured: Callable[[Rows, Speed], float]
    aim: float

    def line(self, rows: Rows) -> tuple[str, ...]:
        """The row of the table."""
        found = self.measured(rows, lambda name: median_of(rows, name, "rate"))
        by_cpu = self.measured(rows, lambda name: 1e6 / median_of(rows, name, "cpu_us"))
        return (self.work, f"{self.aim:g} x", f"{found:.2f} x", f"{by_cpu:.2f} x", "yes" if found >= self.aim else "no")


@dataclass(frozen=True)
class LatencyAim:
    """The most milliseconds that 99 of 100 callbacks may take."""

    work: str
    part: str
    row: str
    aim: float

    def line(self, rows: Rows) -> tuple[str, ...]:
        """The row of the table."""
        found = median_of(rows, self.row, "p99")
        return (self.work, f"{self.aim:g} ms", f"{found:.1f} ms", "", "yes" if found <= self.aim else "no")


def _stored(speed: Speed, peer_row: str) -> float:
    return speed(ingress.row(ingress.OURS, "everysec")) / speed(peer_row)


def _celery(_rows: Rows, speed: Speed) -> float:
    peer = next(peer for peer in peers("ingress") if peer.queue == "celery")
    return _stored(speed, ingress.row(peer.title, "everysec"))


def _best_peer(rows: Rows, speed: Speed) -> float:
    return speed(queue.OURS) / max((speed(name) for name in queue.peer_names(rows)), default=nan)


def _best_client(client: str) -> Callable[[Rows, Speed], float]:
    return lambda rows, speed: (
        speed(whole.OURS) / max((speed(name) for name in whole.peer_names(rows, client)), default=nan)
    )


AIMS: Final[tuple[Aim | LatencyAim, ...]] = (
    Aim("taking callbacks in, beside FastAPI with Celery's .delay()", "ingress", _celery, 10),
    Aim("the same, beside an empty app", "ingress", lambda _, speed: _stored(speed, ingress.EMPTY), 0.45),
    Aim("callback to decision without GetResult, beside the best peer", "queue", _best_peer, 6),
    Aim(
        "the same, beside a bare loop that does no work",
        "queue",
        lambda _, speed: speed(queue.OURS) / speed(queue.BARE),
        0.35,
    ),
    Aim("the whole, beside the best peer with aiohttp", "whole", _best_client("aiohttp"), 4),
    Aim("the whole, beside the best peer with httpx", "whole", _best_client("httpx"), 8),
    Aim(
        "GetResult taking 100 ms, 256 in flight: of the 2,560/s that are possible",
        "whole",
        lambda _, speed: speed(whole.OURS + whole.SLOW) / whole.CEILING,
        0.9,
    ),
    LatencyAim("notify to decision at 200/s, p99 beyond GetResult's own time", "latency", latency.row(200), 25),
)


def table(everything: Mapping[str, Any]) -> Table:
    """The aims of the parts that were measured."""
    parts = everything["parts"]
    lines = [aim.line(parts[aim.part]["rows"]) for aim in AIMS if aim.part in parts]
    return Table("What was aimed at", ("", "aim", "measured", "by CPU time", "met"), lines)
