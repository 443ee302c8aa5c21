"""What a callback takes of a Redis's memory, and what all that waits will take once it is decided. No I/O.

A decided case and its result take more memory than a waiting callback. So a server can have room for a backlog and none
for its decisions. The bytes are measured by `tests/contract/test_memory_costs.py`, which fails when they are too small.
"""

from typing import Final, NamedTuple

from shared.messaging.memory import Memory

WAITING: Final = 1_250
"""Bytes of a callback that waits in the queue `callbacks`."""
DELAYED: Final = 2_100
"""Bytes of a callback that is delayed before GetResult is read, with its open case."""
CASE: Final = 1_200
"""Bytes of a decided case with its callback, GetResult's answer, its decision and the index from biz_no."""
RESULT: Final = 2_100
"""Bytes of a decision that no consumer has acknowledged."""
DECIDED: Final = CASE + RESULT


class Growth(NamedTuple):
    """The bytes by which a server's memory grows when what waits is decided."""

    waiting: int
    """For each message in a queue."""
    delayed: int
    """For each delayed message."""

    def projected(self, memory: Memory, waiting: int, delayed: int) -> Memory:
        """The memory once all that waits is decided and no result has been read."""
        return memory._replace(used=memory.used + waiting * self.waiting + delayed * self.delayed)


def growth_on(*, ledger: bool, queues: bool, results: bool) -> Growth:
    """The growth on a Redis that has these parts of the pipeline. The delayed messages are with the ledger."""
    decided = CASE * ledger + RESULT * results
    return Growth(max(0, decided - WAITING * queues), max(0, decided - DELAYED * ledger))
