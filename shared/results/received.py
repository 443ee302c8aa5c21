from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Received:
    """One message as the broker handed it over, read no further."""

    tag: Any
    """What it is settled by; the broker's own."""
    body: bytes = field(repr=False)
    content_type: str
    headers: Mapping[str, Any] = field(repr=False)
    earlier: int = 0
    """How often it was delivered before and not settled."""
    fault: str = ""
    """Why the broker's envelope could not be read; empty when it could."""
