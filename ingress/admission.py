"""Decide whether one more callback can be stored and decided. No I/O.

The backlog and the memory are measured twice a second. In between, every callback that this process has admitted counts
with what it will take once it is decided, so that a burst can't take more than there is.
"""

from collections.abc import Sequence
from math import inf
from typing import Final, NamedTuple

from shared.ledger.memory_costs import DECIDED
from shared.messaging.memory import Memory

PARTS: Final = 8
"""A process may use one part of the room until it measures again. So four processes can share a server: while one keeps
to a measurement, each of the others may use two parts.
"""
LARGE: Final = 16_384
"""Bytes. FaceID's callbacks are smaller, so larger ones may use only half of the memory that callbacks may use."""
UNSIGNED_SHARE: Final = 0.1
"""The share of the backlog that unsigned returns may fill. Of the memory they may use half, as large callbacks may.
Anybody can send them, and nothing is lost without them: the notify of the same case brings the result.
"""
OVERHEAD: Final = 600
"""Bytes that a stored callback takes beside its body, query and content type."""


class Ended(NamedTuple):
    """How many callbacks this process has stored or given up since it started, and their bytes in `size`."""

    callbacks: int
    size: float


class Admission:
    """Admits callbacks as long as the backlog and the projected memory are below their limits."""

    def __init__(self, max_backlog: int, max_memory_share: float) -> None:
        """`max_memory_share`: the share of a server's memory limit that callbacks may use, 0 to 1."""
        self._max_backlog = max_backlog
        self._share = max_memory_share
        self._admitted, self._admitted_bytes = 0, 0.0
        self._ended, self._ended_bytes = 0, 0.0
        self._last, self._last_unsigned = inf, inf
        self._last_bytes, self._last_large_bytes = inf, inf

    @property
    def ended(self) -> Ended:
        """What a measurement that begins now will find: all that was stored before."""
        return Ended(self._ended, self._ended_bytes)

    def update(self, backlog: int, projected: Sequence[Memory], counted: Ended) -> None:
        """Note a measurement.

        Args:
            backlog: Messages in the inner queues.
            projected: Of each server, its memory once everything that waits is decided.
            counted: `ended` when the measurement began. What this process has admitted since is not in it for sure.
        """
        self._last = counted.callbacks + self._max_backlog - backlog
        self._last_unsigned = counted.callbacks + UNSIGNED_SHARE * self._max_backlog - backlog
        self._last_bytes = counted.size + _room(projected, self._share)
        self._last_large_bytes = counted.size + _room(projected, self._share / 2)

    def refusal(self, size: int, *, unsigned: bool = False) -> str:
        """Why a callback of `size` bytes can't be stored now: `backlog`, `memory`, or empty when it can.

        `unsigned`: it is an unsigned return.
        """
        if self._admitted > (self._last_unsigned if unsigned else self._last):
            return "backlog"
        last = self._last_large_bytes if unsigned or size > LARGE else self._last_bytes
        return "memory" if self._admitted_bytes + _charge(size) > last else ""

    def begin(self, size: int) -> None:
        """Count a callback that is going to be stored."""
        self._admitted += 1
        self._admitted_bytes += _charge(size)

    def end(self, size: int) -> None:
        """The callback is stored, or was refused by the broker: the next measurement finds it, if it is there."""
        self._ended += 1
        self._ended_bytes += _charge(size)


def _charge(size: int) -> int:
    """The most bytes that a callback takes at any time: as it waits, or decided."""
    return size + OVERHEAD if size > DECIDED - OVERHEAD else DECIDED


def _room(projected: Sequence[Memory], share: float) -> float:
    """The bytes that this process may use until it measures again."""
    return min((share * memory.limit - memory.used for memory in projected if memory.limit), default=inf) / PARTS
