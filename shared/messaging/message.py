"""A message to be published: a queue, and what stands in it."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Message:
    """One message for one queue, by the queue's full name."""

    queue: str
    body: bytes = field(repr=False)
    content_type: str
    headers: Mapping[str, str | int | float] = field(repr=False)
    topic: str = ""
    """Where it may be routed by what it says, as a broker with exchanges can: its routing key there. Empty for a
    message of ours alone."""
