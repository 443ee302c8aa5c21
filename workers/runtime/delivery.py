"""A message as the broker hands it over, read no further."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message, and the tag it is settled by."""

    tag: str
    queue: str
    """The queue's short name, as in the topology."""
    headers: Mapping[str, Any]
    content_type: str
    body: bytes
    earlier: int = 0
    """How often it was delivered before."""
    fault: str = ""
    """Why the broker could not read it; empty when it could."""
    entry: tuple[tuple[bytes, bytes], ...] = ()
    """The fields it was found with, when it could not be read."""
