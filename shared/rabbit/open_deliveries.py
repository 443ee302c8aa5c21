"""The deliveries of a channel that are not acknowledged yet, so that one acknowledgement stands for many."""

from collections.abc import Iterable

Ack = tuple[int, bool]
"""The arguments of basic.ack: a delivery tag, and whether it stands for all open ones up to it."""


class OpenDeliveries:
    """The open deliveries of one channel by delivery tag, in the order of their arrival."""

    def __init__(self) -> None:
        self._open: dict[int, None] = {}

    def __len__(self) -> int:
        return len(self._open)

    def __contains__(self, tag: int) -> bool:
        return tag in self._open

    def add(self, tag: int) -> None:
        """A message has arrived; each tag is greater than the one before."""
        self._open[tag] = None

    def close(self, tags: Iterable[int]) -> list[Ack]:
        """Take these out; returns the acknowledgements that stand for them and for no others. Ignores unknown tags."""
        done = {tag for tag in tags if tag in self._open}
        up_to = 0
        for tag in self._open:
            if tag not in done:
                break
            up_to = tag
        for tag in done:
            del self._open[tag]
        singles = [(tag, False) for tag in sorted(done) if tag > up_to]
        return [(up_to, True), *singles] if up_to else singles
