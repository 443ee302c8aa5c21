from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count, groupby, islice
from typing import Final

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
    suspect: bool = False
    """Consumers died or fell silent over it more than once."""
    lost: bool = False
    """The lease ended and the entry is no longer this consumer's."""
    tag: str = field(init=False)

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
