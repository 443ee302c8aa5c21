"""The loop of a consumer: receive, handle and acknowledge one message after another, until the stop."""

import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from types import FrameType
from typing import Final

from shared.brokers.factory import open_publisher
from shared.events.alert import Alert
from shared.events.decision import Decision
from shared.messaging.engine import engine_of
from shared.messaging.publisher import Publisher
from shared.messaging.topology import ALERTS, DECISIONS
from shared.results.connection_thread import ConnectionThread
from shared.results.message_handler import M, MessageHandler
from shared.results.queue import ResultQueue
from shared.results.rabbit_subscription import RabbitSubscription
from shared.results.streams_subscription import StreamsSubscription
from shared.results.subscription import Subscription

ATTEMPTS: Final = 8
PREFETCH: Final = 20
LEASE_SECONDS: Final = 30.0
RETENTION_DAYS: Final = 30.0
PUBLISH_SECONDS: Final = 5.0
"""How long the broker may take to store a dead letter before it is tried again."""


def consume(  # noqa: PLR0913 - each is a keyword that a user may need
    url: str,
    handler: Callable[[Decision], object],
    *,
    group: str | None = None,
    topics: Sequence[str] = (),
    attempts: int = ATTEMPTS,
    prefetch: int = PREFETCH,
    lease_seconds: float = LEASE_SECONDS,
    retention_days: float = RETENTION_DAYS,
    prefix: str = "faceid",
    stop: threading.Event | None = None,
) -> None:
    """Call `handler` with each decision, and acknowledge the decision after `handler` returns (at-least-once).

    Returns after the stop. While the broker is unavailable it tries again, however long that takes.

    `group`: the processes of one group share the decisions, and each group gets all of them; None is a group too. On
    RabbitMQ a group is a queue, `faceid.decisions.GROUP`. It collects decisions from its first use on.
    `topics`: only on RabbitMQ: the patterns that the group's queue is bound with, such as `decision.*.rejected`. A
    pattern stays bound until you unbind it.
    `attempts`: how often `handler` is called for one decision while it raises, with random pauses of up to 0.5, 1, 2,
    ... 60 s in between. After the last attempt the decision is a dead letter in `faceid.decisions.GROUP.dead`.
    `prefetch`: decisions held at once, handled one by one. Use 1 where one takes many seconds.
    `lease_seconds`: on Redis, how long the decisions of a killed process wait before another process gets them.
    `retention_days`: on RabbitMQ, how long a dead letter is kept, 49.7 at most. On Redis the workers delete it after
    FACEID_RETENTION_DAYS.
    `stop`: an event that ends it. Without one, SIGTERM and SIGINT end it in the main thread; a second signal has its
    usual effect. The decision in work is finished first, the others are handed back.

    Raises ValueError at once for arguments that can't work, such as a `stock+redis` URL. An exception of `handler` that
    is no `Exception`, such as SystemExit, ends it and gets through.
    """
    queue = ResultQueue.of(prefix, DECISIONS, group)
    subscription = _subscribe(url, queue, topics, prefetch, lease_seconds)
    _run(_open_publisher(url, retention_days), queue, subscription, Decision, handler, attempts, stop)


def consume_alerts(  # noqa: PLR0913 - each is a keyword that a user may need
    url: str,
    handler: Callable[[Alert], object],
    *,
    group: str | None = None,
    topics: Sequence[str] = (),
    attempts: int = ATTEMPTS,
    prefetch: int = PREFETCH,
    lease_seconds: float = LEASE_SECONDS,
    retention_days: float = RETENTION_DAYS,
    prefix: str = "faceid",
    stop: threading.Event | None = None,
) -> None:
    """The same for alerts. Their queue is `faceid.alerts`."""
    queue = ResultQueue.of(prefix, ALERTS, group)
    subscription = _subscribe(url, queue, topics, prefetch, lease_seconds)
    _run(_open_publisher(url, retention_days), queue, subscription, Alert, handler, attempts, stop)


def _subscribe(
    url: str, queue: ResultQueue, topics: Sequence[str], prefetch: int, lease_seconds: float
) -> Subscription:
    """A subscription, not yet connected. Raises ValueError for arguments that can't work."""
    if prefetch < 1:
        raise ValueError("prefetch must be 1 or more")
    engine = engine_of(url)
    if engine == "rabbit":
        return RabbitSubscription(url, queue, prefetch, topics)
    if engine != "streams":
        raise ValueError(
            "consume() reads redis:// and amqp:// URLs;"
            " for another transport use a consumer of that transport, such as kombu's"
        )
    if topics:
        raise ValueError("topics need RabbitMQ; on Redis every group gets every message")
    return StreamsSubscription(url, queue, prefetch, lease_seconds)


def _open_publisher(url: str, retention_days: float) -> Publisher:
    """The publisher of dead letters, not yet connected."""
    return open_publisher(url, PUBLISH_SECONDS, queues=(), retention_days=retention_days, all_expire=True)


def _run(
    publisher: Publisher,
    queue: ResultQueue,
    subscription: Subscription,
    kind: type[M],
    handler: Callable[[M], object],
    attempts: int,
    stop: threading.Event | None,
) -> None:
    if attempts < 1:
        raise ValueError("attempts must be 1 or more")
    with closing(publisher), _stopped_by_signals(stop) as stopping:
        message_handler = MessageHandler(kind, handler, attempts, queue, publisher, stopping)
        connection_thread = ConnectionThread(subscription, stopping)
        connection_thread.start()
        try:
            for delivery in connection_thread.received():
                if message_handler.handle(delivery):
                    connection_thread.finish(delivery)
        finally:
            connection_thread.end()


@contextmanager
def _stopped_by_signals(stop: threading.Event | None) -> Iterator[threading.Event]:
    """The given event, or one that SIGTERM and SIGINT set. After the first signal the former handlers are back."""
    stopping = stop or threading.Event()
    if stop is not None or threading.current_thread() is not threading.main_thread():
        yield stopping
        return

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        restore()
        threading.Thread(target=stopping.set).start()  # set() in this thread could wait for a lock that it holds itself

    before = {number: signal.signal(number, on_signal) for number in (signal.SIGTERM, signal.SIGINT)}

    def restore() -> None:
        for number, action in before.items():
            signal.signal(number, action)

    try:
        yield stopping
    finally:
        restore()
