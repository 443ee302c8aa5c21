from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count, groupby, islice
from time import monotonic
from typing import Final

from shared.messaging.delivery import PROBATION_SECONDS

_serial = count(1)


@dataclass(slots=True, eq=False)
class Delivery:
    """One entry, delivered to one consumer."""

    queue: str
    entry_id: bytes
    fields: Sequence[bytes]
    """Names and values of the entry in turn, as they are in the stream."""
    delivery_count: int = 0
    """Earlier deliveries of the entry: 0 at the first."""
    abandoned: bool = False
    """Taken over because its last consumer let the lease end: it crashed or hung, perhaps because of this entry."""
    received_at: float = field(default_factory=monotonic)
    """When this consumer received it, in seconds of the monotonic clock."""
    lease_lost: bool = False
    """The lease has ended and another consumer may have the entry."""
    attempted: bool = True
    """When it is handed back: whether this delivery counts. One that ends because the consumer stops does not."""
    tag: str = field(init=False)
    """Identifies this delivery: a second delivery of the same entry has another tag."""

    @property
    def on_probation(self) -> bool:
        """Whether this entry may still crash its consumer.

        True for `PROBATION_SECONDS` after an abandoned entry was received; after two earlier deliveries, until it is
        settled.
        """
        return self.abandoned and (self.delivery_count > 1 or monotonic() - self.received_at < PROBATION_SECONDS)

    def __post_init__(self) -> None:
        # One consumer may get an entry twice. Acknowledging the first delivery must not settle the second.
        self.tag = f"{self.entry_id.decode()}/{next(_serial)}"


CHUNK: Final = 1000
"""Most entries named in one command, so that no command blocks the server for long."""


def by_queue(deliveries: Iterable[Delivery]) -> Iterator[tuple[str, list[Delivery]]]:
    """The deliveries grouped by queue, in chunks of at most `CHUNK`."""

    def queue_of(delivery: Delivery) -> str:
        return delivery.queue

    for queue, group in groupby(sorted(deliveries, key=queue_of), key=queue_of):
        while chunk := list(islice(group, CHUNK)):
            yield queue, chunk
