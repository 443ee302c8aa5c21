"""Opens the source of a worker's messages, by the engine of the inner queues."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from redis import Redis

from shared.brokers.factory import open_publisher, rabbit_topology
from shared.messaging.engine import Engine, engine_of
from shared.messaging.publisher import Publisher
from shared.messaging.topology import BY_STAGE, INNER_QUEUES, RESULT_QUEUES, Stage, queue_name
from shared.rabbit import dialer
from shared.settings import Settings
from workers.runtime.source import Source
from workers.sources.poison_guard import PoisonGuard
from workers.sources.rabbitmq import RabbitSource
from workers.sources.rabbitmq_consumer import RabbitConsumer
from workers.sources.redis_streams import StreamsSource

TIMEOUT: Final = 5.0
"""Seconds that an exchange with a broker may take at most."""

Queues = Mapping[str, str]
"""Full names of queues, and the short ones of the topology."""


def open_source(settings: Settings, stages: Sequence[Stage], redis: "Redis") -> Source:
    """The source of these stages' messages, not yet connected. `redis`: the ledger's."""
    queues = {queue_name(settings.prefix, BY_STAGE[name].reads): BY_STAGE[name].reads for name in stages}
    return MAKERS[engine_of(settings.broker_url)](settings, queues, redis)


def _streams(settings: Settings, queues: Queues, redis: "Redis") -> Source:
    results_here = settings.results_url == settings.broker_url
    ledger_here = settings.redis_url == settings.broker_url
    return StreamsSource(
        settings.broker_url,
        queues,
        settings.prefetch,
        settings.lease_seconds,
        None if results_here else _publisher(settings, settings.results_url, RESULT_QUEUES),
        None if ledger_here else redis,
        settings.prefix,
    )


def _rabbit(settings: Settings, queues: Queues, redis: "Redis") -> Source:
    """The heartbeat is a third of the lease: RabbitMQ gives up a worker after two to three missed ones."""
    results_here = settings.results_url == settings.broker_url
    written = (*INNER_QUEUES, *RESULT_QUEUES) if results_here else INNER_QUEUES
    inner = _publisher(settings, settings.broker_url, written)
    results = inner if results_here else _publisher(settings, settings.results_url, RESULT_QUEUES)
    consumer = RabbitConsumer(
        dialer(settings.broker_url, _timeout(settings), heartbeat=settings.lease_seconds / 3),
        rabbit_topology(settings.prefix, written),
        queues,
        settings.prefetch,
    )
    guard = PoisonGuard(redis, settings.prefix)
    return RabbitSource(consumer, inner, results, redis, guard, settings.prefetch, settings.prefix)


def _publisher(settings: Settings, url: str, queues: Sequence[str]) -> Publisher:
    return open_publisher(
        url, _timeout(settings), prefix=settings.prefix, queues=queues, retention_days=settings.retention_days
    )


def _timeout(settings: Settings) -> float:
    """A third of the lease at most, so that no lease ends during an exchange."""
    return min(TIMEOUT, max(0.5, settings.lease_seconds / 3))


MAKERS: Final[Mapping[Engine, Callable[[Settings, Queues, "Redis"], Source]]] = {
    "streams": _streams,
    "rabbit": _rabbit,
}
