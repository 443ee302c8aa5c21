"""The memory of the ingress and of Redis during a run."""

import asyncio
import re
from pathlib import Path
from typing import Final, cast

from redis import Redis

INTERVAL: Final = 0.2
MIB: Final = 1 << 20


class Observer:
    """Looks again and again, and keeps the highest numbers. Bytes."""

    def __init__(self, ingress_pid: int, redis: "Redis") -> None:
        self._pid = ingress_pid
        self._redis = redis
        self.redis_memory = 0
        self.open_files = 0

    async def run(self) -> None:
        """Look until it is cancelled."""
        while True:
            await asyncio.to_thread(self._look)
            await asyncio.sleep(INTERVAL)

    def _look(self) -> None:
        memory = cast("dict[str, int]", self._redis.info("memory"))["used_memory"]
        self.redis_memory = max(self.redis_memory, memory)
        self.open_files = max(self.open_files, sum(1 for _ in Path(f"/proc/{self._pid}/fd").iterdir()))

    @property
    def ingress_rss(self) -> int:
        """The most memory that the ingress has had."""
        found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{self._pid}/status").read_text())
        return int(found[1]) * 1024 if found else 0
