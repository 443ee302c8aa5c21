"""The pipeline at one moment: what the ledger's Redis says, and what the brokers say of their queues."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Protocol, cast

from redis import Redis

from shared.ledger.case_key import account_key
from shared.ledger.message_set import MessageSet, SetName
from shared.messaging.topology import RESULT_QUEUES, TOPOLOGY, Stage, queue_name
from shared.settings import Settings

SAMPLE: Final = 1000
"""Items of a message set that are looked at; the reasons of a longer one are estimated from so many."""
MESSAGE_SETS: Final[tuple[SetName, ...]] = ("delayed", "dead", "unverified")


@dataclass(frozen=True, slots=True)
class Depth:
    """How deep a queue of the pipeline's own is. What its broker does not tell is None."""

    waiting: int | None
    in_work: int | None
    oldest_seconds: float | None
    """Age of the oldest message, waiting or in work; 0 when there is none."""
    readers: int | None
    """Consumers that are subscribed to it."""


@dataclass(frozen=True, slots=True)
class Queue(Depth):
    """A stage's queue."""

    stage: Stage


@dataclass(frozen=True, slots=True)
class Worker:
    """A consumer of the stages' queues."""

    name: str
    in_work: int
    idle_seconds: float
    """How long ago it last touched any of its queues."""


@dataclass(frozen=True, slots=True)
class Reader:
    """Those who read a results queue together, each message once. What the broker does not tell is None."""

    name: str
    """Of their consumer group; empty where the queue itself is all that they share."""
    consumers: int
    waiting: int | None
    """Messages that none of them has been given."""
    in_work: int | None
    """Messages that one of them has been given, and has not acknowledged."""
    behind_seconds: float | None
    """Age of the oldest message that they have not acknowledged; 0 when there is none."""
    seen_seconds: float | None
    """How long ago any of them last asked for messages, or was last given some."""


@dataclass(frozen=True, slots=True)
class Results:
    """A results queue, which others read."""

    name: str
    held: int | None
    """Messages in it; on Redis also those that were read, as long as they are kept."""
    readers: tuple[Reader, ...] | None
    """None where the broker does not tell whether anybody reads."""


@dataclass(frozen=True, slots=True)
class Census:
    """What lies on a message set: how much of it, and why."""

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
    """Everything at one moment. What a broker does not tell is None."""

    at: float
    queues: tuple[Queue, ...]
    backlog: int | None
    """Messages in the stages' queues, as far as the broker counts them."""
    max_backlog: int
    message_sets: dict[str, Census]
    workers: tuple[Worker, ...] | None
    readers: int | None
    """Connections that are reading queues, where the broker does not note that an idle worker asks for messages."""
    breakers: tuple[Breaker, ...]
    results: tuple[Results, ...]


class QueueStats(Protocol):
    """One broker, asked without taking anything from anybody."""

    def depth(self, queue: str) -> Depth:
        """Of a queue that the workers read, by its full name; one that is not there yet is empty."""

    def workers(self, queues: Iterable[str]) -> tuple[Worker, ...] | None:
        """The consumers of these queues together; None where the broker does not name them."""

    def connections(self) -> int | None:
        """Connections that are reading queues, where the workers' own traces do not tell who is alive."""

    def results(self, name: str, queue: str) -> Results:
        """A results queue, by its short name and its full one."""


def read_status(
    ledger: "Redis", broker: QueueStats, results: QueueStats, settings: Settings, accounts: Iterable[str]
) -> Status:
    """Ask all of them."""
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
        message_sets={name: census(MessageSet(ledger, prefix, name)) for name in MESSAGE_SETS},
        workers=broker.workers(queue_name(prefix, row.reads) for row in TOPOLOGY),
        readers=broker.connections(),
        breakers=tuple(_breakers(ledger, prefix, accounts, now)),
        results=tuple(results.results(name, queue_name(prefix, name)) for name in RESULT_QUEUES),
    )


def census(message_set: MessageSet) -> Census:
    """Count a message set by stage and reason: exactly, or where it is long from a sample."""
    total = len(message_set)
    counts = Counter((stored.stage, stored.reason) for stored in message_set.sample(SAMPLE))
    looked_at = counts.total()
    reasons: dict[Stage, dict[str, int]] = {}
    for (stage, reason), count in counts.most_common():
        reasons.setdefault(stage, {})[reason] = round(count * total / looked_at) if total > SAMPLE else count
    return Census(total, reasons, estimated=total > SAMPLE)


def server_time(redis: "Redis") -> float:
    """Unix seconds by the server's clock."""
    seconds, microseconds = redis.time()
    return seconds + microseconds / 1e6


def _backlog(queues: Iterable[Queue]) -> int | None:
    known = [queue.waiting + (queue.in_work or 0) for queue in queues if queue.waiting is not None]
    return sum(known) if known else None


def _breakers(redis: "Redis", prefix: str, accounts: Iterable[str], now: float) -> Iterator[Breaker]:
    for account in accounts:
        found = cast(
            "list[bytes | None]", redis.hmget(account_key(prefix, account), ["opened_at", "open_until", "code"])
        )
        if found[0] is not None:
            rest = max(0.0, int(found[1] or 0) / 1000 - now)
            yield Breaker(account, (found[2] or b"").decode(), rest)
