"""What Redis says of the pipeline at one moment."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final, cast

from redis import Redis
from redis.exceptions import ResponseError

from shared.ledger import account_key
from shared.settings import Settings
from shared.shelf import Name, Shelf
from shared.streams.scripts import HANDED_BACK
from shared.topology import GROUP, INNER_QUEUES, RESULT_QUEUES, TOPOLOGY, Row, Stage, queue_name

SAMPLE: Final = 1000
"""Items of a shelf that are looked at; the reasons of a longer one are estimated from so many."""
NOTES_IDLE: Final = (7, 2)
"""The version from which Redis notes when a consumer has asked in vain."""
READING: Final = 2
"""Seconds since its last command within which a connection that reads a queue is alive."""
SHELVES: Final[tuple[Name, ...]] = ("later", "dead", "unverified")


@dataclass(frozen=True, slots=True)
class Sources:
    """Where to ask; None for what is no Redis."""

    ledger: "Redis"
    broker: "Redis | None"
    results: "Redis | None"


@dataclass(frozen=True, slots=True)
class Queue:
    """A stage's queue."""

    stage: Stage
    waiting: int
    in_work: int
    oldest_seconds: float
    """Age of the oldest message, waiting or in work; 0 when there is none."""


@dataclass(frozen=True, slots=True)
class Worker:
    """A consumer of the stages' queues."""

    name: str
    in_work: int
    silent_seconds: float
    """How long ago it last touched any of its queues."""


@dataclass(frozen=True, slots=True)
class Census:
    """What lies on a shelf: how much of it, and why."""

    total: int
    reasons: dict[Stage, dict[str, int]]
    estimated: bool


@dataclass(frozen=True, slots=True)
class Breaker:
    """An account that can't be read from."""

    account: str
    code: str
    open_seconds: float
    """How long it rests yet; 0 when a probe is due."""


@dataclass(frozen=True, slots=True)
class Status:
    """Everything at one moment. What is not on a Redis is None."""

    at: float
    queues: tuple[Queue, ...] | None
    backlog: int | None
    max_backlog: int
    shelves: dict[str, Census]
    workers: tuple[Worker, ...] | None
    readers: int | None
    """Connections that are reading queues, where the broker does not note that an idle worker asks for messages."""
    breakers: tuple[Breaker, ...]
    results: dict[str, int] | None
    """Messages in the results queues."""


def read_status(sources: Sources, settings: Settings, accounts: Iterable[str]) -> Status:
    """Ask all of them."""
    redis, broker, results, prefix = sources.ledger, sources.broker, sources.results, settings.prefix
    now = _now(redis)
    queues = tuple(_queue(broker, prefix, row, now) for row in TOPOLOGY) if broker else None
    return Status(
        at=now,
        queues=queues,
        backlog=sum(queue.waiting + queue.in_work for queue in queues) if queues else None,
        max_backlog=settings.max_backlog,
        shelves={name: census(Shelf(redis, prefix, name)) for name in SHELVES},
        workers=tuple(_workers(broker, prefix)) if broker else None,
        readers=_readers(broker) if broker and version(broker) < NOTES_IDLE else None,
        breakers=tuple(_breakers(redis, prefix, accounts, now)),
        results={name: results.xlen(queue_name(prefix, name)) for name in RESULT_QUEUES} if results else None,
    )


def census(shelf: Shelf) -> Census:
    """Count a shelf by stage and reason: exactly, or where it is long from a sample."""
    total = len(shelf)
    counts = Counter((parked.stage, parked.reason) for parked in shelf.sample(SAMPLE))
    looked_at = counts.total()
    reasons: dict[Stage, dict[str, int]] = {}
    for (stage, reason), count in counts.most_common():
        reasons.setdefault(stage, {})[reason] = round(count * total / looked_at) if total > SAMPLE else count
    return Census(total, reasons, estimated=total > SAMPLE)


def version(redis: "Redis") -> tuple[int, ...]:
    """The server's version, as Redis counts: Valkey names the one that it is like."""
    return tuple(int(part) for part in str(redis.info("server")["redis_version"]).split(".")[:3])


def _now(redis: "Redis") -> float:
    seconds, microseconds = redis.time()
    return seconds + microseconds / 1e6


def _queue(redis: "Redis", prefix: str, row: Row, now: float) -> Queue:
    key = queue_name(prefix, row.reads)
    length = redis.xlen(key)
    consumers = _consumers(redis, key)
    in_work = sum(consumer["pending"] for consumer in consumers if consumer["name"] != HANDED_BACK.encode())
    first = cast("list[tuple[bytes, Any]]", redis.xrange(key, count=1))
    age = now - int(first[0][0].partition(b"-")[0]) / 1000 if first else 0.0
    return Queue(row.stage, max(0, length - in_work), in_work, max(0.0, age))


def _workers(redis: "Redis", prefix: str) -> Iterator[Worker]:
    """The consumers of all inner queues; one that runs several stages is one worker."""
    known: dict[str, list[dict[str, Any]]] = {}
    for queue in INNER_QUEUES:
        for consumer in _consumers(redis, queue_name(prefix, queue)):
            known.setdefault(consumer["name"].decode(), []).append(consumer)
    known.pop(HANDED_BACK, None)
    for name, rows in sorted(known.items()):
        yield Worker(name, sum(row["pending"] for row in rows), min(row["idle"] for row in rows) / 1000)


def _readers(redis: "Redis") -> int:
    clients = redis.client_list()
    return sum(client["cmd"] == "xreadgroup" and int(client["idle"]) <= READING for client in clients)


def _consumers(redis: "Redis", key: str) -> list[dict[str, Any]]:
    try:
        return redis.xinfo_consumers(key, GROUP)
    except ResponseError as error:
        if not str(error).startswith(("NOGROUP", "no such key")):
            raise
        return []  # nothing was written to the queue yet, or nobody has read it


def _breakers(redis: "Redis", prefix: str, accounts: Iterable[str], now: float) -> Iterator[Breaker]:
    for account in accounts:
        found = cast(
            "list[bytes | None]", redis.hmget(account_key(prefix, account), ["opened_at", "open_until", "code"])
        )
        if found[0] is not None:
            rest = max(0.0, int(found[1] or 0) / 1000 - now)
            yield Breaker(account, (found[2] or b"").decode(), rest)
