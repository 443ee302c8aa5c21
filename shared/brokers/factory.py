"""Opens publishers and connections for a broker URL, by its engine."""

from collections.abc import Sequence
from typing import Any, Final

from kombu.connection import Connection

from shared.brokers.kombu_publisher import KombuPublisher
from shared.brokers.redis_streams_publisher import StreamsPublisher
from shared.messaging.async_publisher import AsyncPublisher, ThreadedPublisher
from shared.messaging.engine import STOCK_PREFIX, engine_of
from shared.messaging.publisher import Publisher
from shared.messaging.topology import ALERTS, DECISIONS, GROUP, INNER_QUEUES, RESULT_QUEUES, queue_name
from shared.rabbit import RabbitPublisher, Topology, dialer
from shared.rabbit.topology import QUORUM, UNLIMITED
from shared.streams.client import new_async_pool

STREAMS: Final = "shared.streams:Transport"
TOPICS: Final = {DECISIONS: "decision.#", ALERTS: "alert.#"}
"""The topics that RabbitMQ's exchange routes to each result queue."""
ALL_QUEUES: Final = (*INNER_QUEUES, *RESULT_QUEUES)
HEARTBEAT: Final = 20.0
"""Seconds: a publisher answers heartbeats only between other work."""
DAY: Final = 86_400.0


def open_connection(url: str, **options: Any) -> Connection:
    """A kombu connection, not yet connected. `options`: the transport's."""
    if engine_of(url) == "streams":
        # The URL is an option, since kombu can't read one of Sentinels.
        return Connection("redis://", transport=STREAMS, transport_options={"group": GROUP, "url": url, **options})
    return Connection(url.removeprefix(STOCK_PREFIX), transport_options=options)


def connect(connection: Connection) -> None:
    """Connect to the first address of the URL that answers, trying each once. Raises an error of the client library."""
    connection.ensure_connection(max_retries=max(0, len(connection.alt) - 1), reraise_as_library_errors=False)


def open_publisher(
    url: str,
    timeout: float,
    *,
    prefix: str = "faceid",
    queues: Sequence[str] = ALL_QUEUES,
    retention_days: float = 30.0,
    all_expire: bool = False,
) -> Publisher:
    """A publisher, not yet connected. `timeout`: seconds for each exchange with the broker.

    On RabbitMQ the publisher first creates `queues`, given by the short names of the topology. Results expire there
    after `retention_days`, 49.7 at most; with `all_expire` every message does.
    """
    if engine_of(url) == "rabbit":
        topology = rabbit_topology(prefix, queues)
        return RabbitPublisher(
            dialer(url, timeout, HEARTBEAT), topology, timeout, retention_days * DAY, all_expire=all_expire
        )
    return KombuPublisher(open_connection(url, socket_timeout=timeout, socket_connect_timeout=timeout))


def open_async_publisher(
    url: str, timeout: float, *, prefix: str, queues: Sequence[str], replicas: int = 0
) -> AsyncPublisher:
    """A publisher for an asyncio loop, not yet connected.

    `timeout`: seconds for each batch. `replicas`: on Redis, how many must have a batch before it counts as stored.
    """
    threaded = ThreadedPublisher(open_publisher(url, timeout, prefix=prefix, queues=queues))
    if engine_of(url) == "streams":
        return StreamsPublisher(new_async_pool(open_connection(url), timeout), timeout, threaded, replicas)
    return threaded


def rabbit_topology(prefix: str, queues: Sequence[str]) -> Topology:
    """The topology of these queues, given by short names; with result queues the topic exchange too, named `prefix`.

    Result queues have no arguments but their type, so that a consumer can declare them with the same ones.
    """
    arguments = {queue_name(prefix, queue): UNLIMITED if queue in INNER_QUEUES else QUORUM for queue in queues}
    bindings = {queue_name(prefix, queue): (TOPICS[queue],) for queue in queues if queue in TOPICS}
    return Topology(arguments, prefix, bindings)
