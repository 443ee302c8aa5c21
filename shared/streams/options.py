import socket
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Self


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The transport's own keys in `transport_options`. Other keys are kombu's. Raises ValueError for a number that
    is not above 0.
    """

    url: str = ""
    """The server's URL in place of the connection's, for one that kombu can't read: `redis+sentinel://...`."""
    group: str = "kombu"
    """The consumer group. Each group gets every message, so all consumers that share the work name the same group."""
    lease_seconds: float = 30.0
    """How long a message stays with a consumer that does not renew its lease."""
    consumer: str = field(default_factory=socket.gethostname)
    """First part of the consumer's name. The process id and a random part are appended."""
    batch_size: int = 100
    """Most entries read from one stream by one command."""
    key_prefix: str = ""
    """Put before the queue's name to make the stream's key."""
    keep_settled: bool = False
    """Leave acknowledged entries in the stream for other groups. Something else then has to trim the stream."""
    count_closed: bool = True
    """Whether a delivery counts that `close` hands back. If not, only a rejection and a consumer's death count."""
    socket_timeout: float = 5.0
    """Seconds to wait for a reply. A blocking read waits at most half as long."""
    socket_connect_timeout: float = 5.0
    """Seconds to wait for a connection."""

    def __post_init__(self) -> None:
        for name in ("lease_seconds", "batch_size", "socket_timeout", "socket_connect_timeout"):
            if not getattr(self, name) > 0:
                raise ValueError(f"transport option {name} must be above 0")

    @classmethod
    def from_transport_options(cls, transport_options: Mapping[str, Any]) -> Self:
        """The options in a kombu connection's `transport_options`. Raises ValueError for a value out of range."""
        names = {option.name for option in fields(cls)}
        return cls(**{name: value for name, value in transport_options.items() if name in names})
