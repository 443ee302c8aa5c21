"""A message as a broker hands it over, not yet decoded."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

DELIVERY_COUNT: Final = "x-delivery-count"
"""The header in which a broker counts the deliveries before this one that nobody settled."""
POISON_DELIVERIES: Final = 5
"""A message that was delivered so often and never settled is a dead letter: it kills the processes that read it."""
PROBATION_SECONDS: Final = 0.05
"""How long a message whose reader died is in work alone: a message that kills its reader does so at once."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message, and the tag by which it is settled."""

    tag: Any
    """Names this delivery for the broker that made it; a second delivery of the message has another tag."""
    queue: str
    """The queue's short name, as in the topology."""
    headers: Mapping[str, Any] = field(repr=False)
    content_type: str
    body: bytes = field(repr=False)
    delivery_count: int = 0
    """Deliveries before this one that nobody settled."""
    fault: str = ""
    """Why the broker's client could not read the message; empty when it could."""
    entry: tuple[tuple[bytes, bytes], ...] = field(default=(), repr=False)
    """The fields of the stream entry, when it could not be read as a message."""
