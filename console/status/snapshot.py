"""The state of the pipeline at one moment, read from the ledger's Redis and from the brokers."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Protocol, cast

from redis import Redis

from console.terminal.time_format import rfc3339
from shared.ledger.case_key import account_key
from shared.ledger.heartbeats import Heartbeats, Seen
from shared.ledger.message_set import MessageSet, SetName
from shared.messaging.topology import RESULT_QUEUES, TOPOLOGY, Stage, queue_name
from shared.settings import Settings

SAMPLE: Final = 1000
"""Items of a message set that are read. For a larger set, the counts by reason are estimated from them."""
MESSAGE_SETS: Final[tuple[SetName, ...]] = ("delayed", "dead", "unverified")


@dataclass(frozen=True, slots=True)
class Depth:
    """How deep a queue is. None: the broker does not say."""

    waiting: int | None
    in_work: int | None
    oldest_seconds: float | None
    """Age of the oldest message, waiting or in work; 0 without a message."""
    readers: int | None
    """Consumers that are subscribed to the queue."""


@dataclass(frozen=True, slots=True)
class Queue(Depth):
    """The queue of a stage."""

    stage: Stage


@dataclass(frozen=True, slots=True)
class Worker:
    """A worker process, as its last heartbeat says."""

    name: str
    """`NAME@HOST`, as in its log lines."""
    host: str
    pid: int
    version: str
    stages: tuple[str, ...]
    accounts: tuple[str, ...]
    policies: tuple[str, ...]
    """The digests of the policies of these accounts."""
    in_work: int
    progress_seconds: float
    """Seconds since it last finished a message; 0 while it works on none."""
    seen_seconds: float
    """Seconds since its last heartbeat."""
    started_at: str
    """RFC 3339."""
    skew_seconds: float
    """Redis's clock minus that of the worker's machine."""


@dataclass(frozen=True, slots=True)
class Reader:
    """Consumers that share the messages of a results queue. None: the broker does not say."""

    name: str
    """The consumer group; empty on a broker without consumer groups."""
    consumers: int
    waiting: int | None
    """Messages that were not delivered to any of them."""
    in_work: int | None
    """Messages that were delivered and are not acknowledged."""
    behind_seconds: float | None
    """Age of the oldest message that is not acknowledged; 0 without one."""
    seen_seconds: float | None
    """Seconds since any of them last asked for messages."""


@dataclass(frozen=True, slots=True)
class Results:
    """A results queue, which other systems read."""

    name: str
    count: int | None
    """Messages in it. On Redis, acknowledged messages count until they are deleted."""
    readers: tuple[Reader, ...] | None
    """None: the broker does not say."""


@dataclass(frozen=True, slots=True)
class SetCounts:
    """How many items a message set has, by stage and reason."""

    total: int
    reasons: dict[Stage, dict[str, int]]
    estimated: bool
    """Whether `reasons` is estimated from a sample."""
    deleted: int = 0
    """Items that maintenance has deleted so far, because they were over a bound."""


@dataclass(frozen=True, slots=True)
class Breaker:
    """An account for which GetResult is paused, since its calls fail."""

    account: str
    code: str
    retry_in_seconds: float
    """Seconds until the next probe; 0 when it is due."""


@dataclass(frozen=True, slots=True)
class Status:
    """Everything at one moment. None: the broker does not say."""

    at: float
    queues: tuple[Queue, ...]
    backlog: int | None
    """Messages in the queues of all stages."""
    max_backlog: int
    message_sets: dict[str, SetCounts]
    workers: tuple[Worker, ...]
    breakers: tuple[Breaker, ...]
    results: tuple[Results, ...]


class QueueStats(Protocol):
    """The statistics of one broker. Reading them consumes nothing."""

    def depth(self, queue: str) -> Depth:
        """The depth of a queue that the workers read, by its full name. A missing queue is empty."""

    def results(self, name: str, queue: str) -> Results:
        """A results queue, by its short name and its full name."""


def read_status(
    ledger: Redis, broker: QueueStats, results: QueueStats, settings: Settings, accounts: Iterable[str]
) -> Status:
    """Read the state from the ledger and both brokers."""
    prefix, now = settings.prefix, server_time(ledger)
    depths = {row.stage: broker.depth(queue_name(prefix, row.reads)) for row in TOPOLOGY}
    queues = tuple(
        Queue(depth.waiting, depth.in_work, depth.oldest_seconds, depth.readers, stage)
        for stage, depth in depths.items()
    )
    return Status(
        at=now,
        queues=queues,
        backlog=_backlog(queues),
        max_backlog=settings.max_backlog,
        message_sets={name: count_items(MessageSet(ledger, prefix, name)) for name in MESSAGE_SETS},
        workers=tuple(_worker(seen, now) for seen in Heartbeats(ledger, prefix).read()),
        breakers=tuple(_breakers(ledger, prefix, accounts, now)),
        results=tuple(results.results(name, queue_name(prefix, name)) for name in RESULT_QUEUES),
    )


def _worker(seen: Seen, now: float) -> Worker:
    heartbeat, age = seen.heartbeat, max(0.0, now - seen.at)
    return Worker(
        name=heartbeat.name,
        host=heartbeat.host,
        pid=heartbeat.pid,
        version=heartbeat.version,
        stages=tuple(heartbeat.stages),
        accounts=tuple(heartbeat.accounts),
        policies=tuple(heartbeat.policies),
        in_work=heartbeat.in_work,
        progress_seconds=heartbeat.progress_seconds + age if heartbeat.in_work else 0.0,
        seen_seconds=age,
        started_at=rfc3339(seen.at - heartbeat.uptime_seconds),
        skew_seconds=heartbeat.skew_seconds,
    )


def count_items(message_set: MessageSet) -> SetCounts:
    """Count a message set by stage and reason: exactly, or from a sample when it is large."""
    total = len(message_set)
    counts = Counter((stored.stage, stored.reason) for stored in message_set.sample(SAMPLE))
    read = counts.total()
    reasons: dict[Stage, dict[str, int]] = {}
    for (stage, reason), count in counts.most_common():
        reasons.setdefault(stage, {})[reason] = round(count * total / read) if total > SAMPLE else count
    return SetCounts(total, reasons, estimated=total > SAMPLE, deleted=message_set.deleted())


def server_time(redis: Redis) -> float:
    """Unix seconds by the server's clock."""
    seconds, microseconds = redis.time()
    return seconds + microseconds / 1e6


def _backlog(queues: Iterable[Queue]) -> int | None:
    known = [queue.waiting + (queue.in_work or 0) for queue in queues if queue.waiting is not None]
    return sum(known) if known else None


def _breakers(redis: Redis, prefix: str, accounts: Iterable[str], now: float) -> Iterator[Breaker]:
    for account in accounts:
        found = cast(
            "list[bytes | None]", redis.hmget(account_key(prefix, account), ["opened_at", "open_until", "code"])
        )
        if found[0] is not None:
            retry_in = max(0.0, int(found[1] or 0) / 1000 - now)
            yield Breaker(account, (found[2] or b"").decode(), retry_in)
