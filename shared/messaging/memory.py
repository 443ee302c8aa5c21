"""The memory of a broker or of a Redis."""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple, Self


class Memory(NamedTuple):
    """How much memory a server uses, and how much it may use. In bytes."""

    used: float
    limit: int
    """0: there is no limit, or it is not known."""

    @classmethod
    def of(cls, info: Mapping[str, Any]) -> Self:
        """The memory in Redis's `INFO memory`. Without replies, as some managed servers give none, there is no limit.

        Redis compares with `maxmemory` what it uses without the buffers of replicas and of the append-only file.
        """
        used = int(info.get("used_memory", 0)) - int(info.get("mem_not_counted_for_evict", 0))
        return cls(used, int(info.get("maxmemory", 0)))

    @property
    def share(self) -> float:
        """The share of the limit that is used; 0 without a limit."""
        return self.used / self.limit if self.limit else 0.0


UNLIMITED: Final = Memory(0, 0)
FULL: Final = Memory(1, 1)
"""Of a broker that accepts nothing now and reports no bytes."""
