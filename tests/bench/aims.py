"""What this pipeline is meant to reach beside the others, and whether it does."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import nan
from typing import Any, Final

from tests.bench.numbers import Rows, Table, median_of
from tests.bench.parts import ingress, latency, queue, whole
from tests.bench.peer import peers


@dataclass(frozen=True)
class Aim:
    """A figure of one part, and the least that it should be (or the most, where `under`)."""

    work: str
    part: str
    measured: Callable[[Rows], float]
    aim: float
    unit: str = "x"
    under: bool = False

    def line(self, rows: Rows) -> tuple[str, ...]:
        """As a row of the table."""
        found = self.measured(rows)
        met = found <= self.aim if self.under else found >= self.aim
        return (self.work, f"{self.aim:g} {self.unit}", f"{found:.2f} {self.unit}", "yes" if met else "no")


def _rate(rows: Rows, name: str) -> float:
    return median_of(rows, name, "rate")


def _taken_in(rows: Rows, beside: str) -> float:
    return _rate(rows, ingress.row(ingress.OURS, "everysec")) / _rate(rows, beside)


def _celery(rows: Rows) -> float:
    peer = next(peer for peer in peers("ingress") if peer.queue == "celery")
    return _taken_in(rows, ingress.row(peer.title, "everysec"))


def _best_peer(rows: Rows) -> float:
    return _rate(rows, queue.OURS) / max((_rate(rows, name) for name in queue.peer_names(rows)), default=nan)


def _best_client(client: str) -> Callable[[Rows], float]:
    return lambda rows: _rate(rows, whole.OURS) / whole.best(rows, client)


AIMS: Final = (
    Aim("taking callbacks in, beside FastAPI with Celery's .delay()", "ingress", _celery, 10),
    Aim("the same, beside an empty app", "ingress", lambda rows: _taken_in(rows, ingress.EMPTY), 0.45),
    Aim("callback to decision without GetResult, beside the best peer", "queue", _best_peer, 6),
    Aim(
        "the same, beside a bare loop that does no work",
        "queue",
        lambda rows: _rate(rows, queue.OURS) / _rate(rows, queue.BARE),
        0.35,
    ),
    Aim("the whole, beside the best peer with aiohttp", "whole", _best_client("aiohttp"), 4),
    Aim("the whole, beside the best peer with httpx", "whole", _best_client("httpx"), 8),
    Aim(
        "GetResult taking 100 ms, 256 in flight: of the 2,560/s that are possible",
        "whole",
        lambda rows: _rate(rows, whole.OURS + whole.SLOW) / whole.CEILING,
        0.9,
    ),
    Aim(
        "notify to decision at 200/s, p99 beyond GetResult's own time",
        "latency",
        lambda rows: median_of(rows, latency.row(200), "p99"),
        25,
        "ms",
        under=True,
    ),
)


def table(everything: Mapping[str, Any]) -> Table:
    """The aims whose part was measured."""
    parts = everything["parts"]
    lines = [aim.line(parts[aim.part]["rows"]) for aim in AIMS if aim.part in parts]
    return Table("What was aimed at", ("", "aim", "measured", "met"), lines)
