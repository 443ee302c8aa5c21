"""Which deliveries of a channel are still open, so that many are acknowledged by one word."""

from collections.abc import Iterable

Ack = tuple[int, bool]
"""A delivery tag, and whether it stands for all open ones up to it."""


class Unsettled:
    """The open deliveries of one channel, in the order in which they came."""

    def __init__(self) -> None:
        self._open: dict[int, None] = {}

    def __contains__(self, tag: int) -> bool:
        return tag in self._open

    def add(self, tag: int) -> None:
        """One more; tags rise."""
        self._open[tag] = None

    def settle(self, tags: Iterable[int]) -> list[Ack]:
        """The acknowledgements that settle these and no others."""
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
