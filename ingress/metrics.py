"""What the ingress counts."""

from functools import cache
from typing import Final

from prometheus_client import Counter, Gauge

REQUESTS: Final = Counter("faceid_requests", "Requests by channel and status.", ("channel", "status"))
UNSTORED: Final = Counter("faceid_unstored", "Callbacks that could not be stored.", ("channel",))
BACKLOG: Final = Gauge("faceid_backlog", "Messages waiting or in work in the inner queues.")


@cache
def answered(channel: str, status: int) -> Counter:
    """The one of `REQUESTS` for such answers: to look it up costs four times what it costs to count."""
    return REQUESTS.labels(channel, status)
