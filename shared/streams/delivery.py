from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count, groupby, islice
from time import monotonic
from typing import Final

PROBATION_SECONDS: Final = 0.05
"""How long an entry over which a consumer died is in work alone: what kills does so at once."""

_serial = count(1)


@dataclass(slots=True, eq=False)
class Delivery:
    """One entry in the hands of one consumer."""

    queue: str
    entry_id: bytes
    fields: Sequence[bytes]
    """Names and values of the entry in turn, as they stand in the stream."""
    earlier: int = 0
    """How often the entry was delivered before."""
    suspicious: bool = False
    """A consumer died or fell silent over it."""
    since: float = field(default_factory=monotonic)
    """When it came, in seconds of the monotonic clock."""
    lost: bool = False
    """The lease ended and the entry is no longer this consumer's."""
    tag: str = field(init=False)

    @property
    def on_probation(self) -> bool:
        """Whether it may still turn out to be what kills consumers; after two of them it is until it is settled."""
        return self.suspicious and (self.earlier > 1 or monotonic() - self.since < PROBATION_SECONDS)

    def __post_init__(self) -> None:
        # The same entry may come to a consumer twice; its first delivery must not settle the second unseen.
        self.tag = f"{self.entry_id.decode()}/{next(_serial)}"


CHUNK: Final = 1000
"""Entries named in one command, so that no command holds up the server for long."""


def by_queue(deliveries: Iterable[Delivery]) -> Iterator[tuple[str, list[Delivery]]]:
    """The deliveries of each queue, in chunks."""

    def queue_of(delivery: Delivery) -> str:
        return delivery.queue

    for queue, group in groupby(sorted(deliveries, key=queue_of), key=queue_of):
        while chunk := list(islice(group, CHUNK)):
            yield queue, chunk
