"""The sizes of a run: three full rounds take about an hour, a quick round some minutes."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Sizes:
    """Numbers of callbacks, unless the name says otherwise."""

    queue: int = 20_000
    queue_slow: int = 5_000
    """The same for a peer that would take minutes."""
    seconds_of_requests: int = 5
    whole: int = 15_000
    whole_peers: int = 3_000
    slow_answers: int = 10_000
    offered_seconds: float = 8.0
    waiting: tuple[int, ...] = (1_000, 100_000, 1_000_000)
    of_waiting: int = 20_000
    """How many of the waiting callbacks are decided."""
    workers: tuple[int, ...] = (1, 2, 4, 8, 16)
    seconds_of_workers: float = 6.0
    network: int = 6_000
    calls: int = 5_000


FULL = Sizes()
QUICK = Sizes(
    queue=2_000,
    queue_slow=500,
    seconds_of_requests=1,
    whole=2_000,
    whole_peers=500,
    slow_answers=3_000,
    offered_seconds=2.0,
    waiting=(1_000, 10_000),
    of_waiting=2_000,
    workers=(1, 4, 16),
    seconds_of_workers=2.0,
    network=1_000,
    calls=500,
)
