"""Limit log lines about what happens to many requests: one line a minute for each kind, with a count."""

import time
from collections import Counter
from collections.abc import Callable, Hashable
from typing import Final

LOG_SECONDS: Final = 60.0
"""Between two lines of the same kind."""


class LogLimiter:
    """Says when a line is due. For one asyncio loop. The kinds must be few: each is kept."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock`: seconds."""
        self._clock = clock
        self._since = Counter[Hashable]()
        self._logged_at: dict[Hashable, float] = {}

    def due(self, kind: Hashable) -> int:
        """Count one event of this kind. Returns the events since the last line when a line is due, else 0."""
        self._since[kind] += 1
        now = self._clock()
        if now - self._logged_at.get(kind, -LOG_SECONDS) < LOG_SECONDS:
            return 0
        self._logged_at[kind] = now
        return self._since.pop(kind)
