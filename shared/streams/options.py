import socket
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Self


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What may be set in `transport_options`; other keys there are kombu's own."""

    group: str = "kombu"
    """Consumer group; groups do not share messages, so all consumers of a queue name the same one."""
    lease_seconds: float = 30.0
    """How long a silent consumer keeps what it has read."""
    consumer: str = field(default_factory=socket.gethostname)
    """First part of the consumer's name; process id and a random part follow."""
    batch_size: int = 100
    """The most entries read from one stream at once."""
    key_prefix: str = ""
    """Put before the queue's name to make the stream's key."""
    keep_settled: bool = False
    """Leave settled entries in the stream, for groups that have still to read them: somebody else has to trim it."""
    socket_timeout: float = 5.0
    """Seconds to wait for a reply; a blocking read stays well below it."""
    socket_connect_timeout: float = 5.0
    """Seconds to wait for a connection."""

    def __post_init__(self) -> None:
        for name in ("lease_seconds", "batch_size", "socket_timeout", "socket_connect_timeout"):
            if not getattr(self, name) > 0:
                raise ValueError(f"transport option {name} must be above 0")

    @classmethod
    def chosen_from(cls, transport_options: Mapping[str, Any]) -> Self:
        """The options named there, the defaults for the rest. Raises ValueError for one out of range."""
        names = {option.name for option in fields(cls)}
        return cls(**{name: value for name, value in transport_options.items() if name in names})
