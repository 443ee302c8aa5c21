"""Heartbeats: what each worker says about itself in the ledger's Redis, every few seconds."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Final, Self, cast

from pydantic_core import from_json, to_json
from redis import Redis

from shared.ledger.message_set import SCRIPTS

INTERVAL: Final = 3.0
"""Seconds between two heartbeats of a worker."""
TTL: Final = 20.0
"""Seconds until a heartbeat expires: the worker has died, or can't reach Redis."""
IDS_KEPT: Final = 3600.0
"""Seconds. Ids of workers whose heartbeat has expired are removed then."""
MOST_WORKERS: Final = 1000
"""Ids that are kept, the newest."""


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """One worker process, as it sees itself. Ages instead of times: its clock may be wrong."""

    name: str
    """`NAME@HOST`, as in its log lines."""
    host: str
    pid: int
    version: str
    stages: Sequence[str]
    accounts: Sequence[str]
    policies: Sequence[str]
    """The digests of the policies of these accounts."""
    in_work: int
    """Messages that it works on."""
    progress_seconds: float
    """Seconds since it last finished a message; 0 while it works on none."""
    uptime_seconds: float
    skew_seconds: float = 0.0
    """Redis's clock minus this machine's."""

    def dump(self) -> bytes:
        """As JSON."""
        return to_json(asdict(self))

    @classmethod
    def load(cls, text: bytes) -> Self:
        """Read it, without fields that this version does not know. Raises any exception for another form."""
        record: dict[str, Any] = from_json(text)
        return cls(**{field.name: record[field.name] for field in fields(cls) if field.name in record})


@dataclass(frozen=True, slots=True)
class Seen:
    """A heartbeat, and when it came."""

    heartbeat: Heartbeat
    at: float
    """Unix seconds, by Redis's clock."""


class Heartbeats:
    """The heartbeats of all workers. Every method raises `redis.RedisError`."""

    def __init__(self, redis: "Redis", prefix: str) -> None:
        self._redis = redis
        self._prefix = prefix
        self._ids = f"{prefix}:workers"
        self._beat = redis.register_script((SCRIPTS / "beat.lua").read_text())

    def write(self, worker: str, heartbeat: Heartbeat) -> None:
        """Write the heartbeat of a worker; `worker` is an id that no other process has."""
        times = (int(TTL * 1000), worker, int(IDS_KEPT * 1000), MOST_WORKERS)
        self._beat(keys=(self._key(worker), self._ids), args=(heartbeat.dump(), *times))

    def remove(self, worker: str) -> None:
        """Remove the heartbeat of a worker that ends."""
        with self._redis.pipeline() as pipe:
            pipe.delete(self._key(worker))
            pipe.zrem(self._ids, worker)
            pipe.execute()

    def read(self) -> list[Seen]:
        """The heartbeats that have not expired, by name and process id. One of an unknown form is left out."""
        ids = cast("list[tuple[bytes, float]]", self._redis.zrange(self._ids, 0, -1, withscores=True))
        texts = cast("list[bytes | None]", self._redis.mget([self._key(worker.decode()) for worker, _ in ids]) or [])
        seen = []
        for (_, at), text in zip(ids, texts, strict=True):
            if text is not None and (heartbeat := _load(text)):
                seen.append(Seen(heartbeat, at / 1000))
        return sorted(seen, key=lambda one: (one.heartbeat.name, one.heartbeat.pid))

    def _key(self, worker: str) -> str:
        return f"{self._prefix}:worker:{worker}"


def _load(text: bytes) -> Heartbeat | None:
    try:
        return Heartbeat.load(text)
    except (KeyError, TypeError, ValueError):
        return None
