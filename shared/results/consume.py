"""The loop of a consumer: one message after another, until it is told to stop."""

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
from shared.messaging.topology import ALERTS, DECISIONS
from shared.results.connection_thread import ConnectionThread
from shared.results.handling import Attempts, M
from shared.results.queue import ResultQueue
from shared.results.rabbit_subscription import RabbitSubscription
from shared.results.streams_subscription import StreamsSubscription
from shared.results.subscription import Subscription

ATTEMPTS: Final = 8
PREFETCH: Final = 20
LEASE_SECONDS: Final = 30.0
PUBLISH_SECONDS: Final = 5.0


def consume(  # noqa: PLR0913 - each is a keyword that a user may need
    url: str,
    handler: Callable[[Decision], object],
    *,
    group: str | None = None,
    topics: Sequence[str] = (),
    attempts: int = ATTEMPTS,
    prefetch: int = PREFETCH,
    lease_seconds: float = LEASE_SECONDS,
    prefix: str = "faceid",
    stop: threading.Event | None = None,
) -> None:
    """Hand every decision to `handler`, and acknowledge it when that has returned; returns after the stop.

    `group`: processes of one group share the decisions, each group gets all of them; None is a group too. On RabbitMQ
    a group is a queue, `faceid.decisions.GROUP`, which collects from the moment it is first named.
    `topics`: on RabbitMQ alone, what the group's queue is bound with, such as `decision.*.rejected`; they add up over
    time.
    `attempts`: how often a decision is handed over while `handler` raises, with rests of up to 0.5, 1, 2, ... 60 s in
    between; after that, it is a dead letter in `faceid.decisions.GROUP.dead`.
    `prefetch`: decisions held at once, though handled one by one; 1 where one takes many seconds.
    `lease_seconds`: on Redis, how long the decisions of a killed process wait for another one.
    `stop`: an event that ends it. Without one SIGTERM and SIGINT do, in the main thread; a second signal has its usual
    effect. The decision in hand is finished first, the others are handed back.

    Loss of the broker is waited for, however long. Raises ValueError at once for what can't be, such as a `stock+redis`
    URL; what `handler` raises beside Exception gets through.
    """
    queue = ResultQueue.of(prefix, DECISIONS, group)
    subscription = _subscribe(url, queue, topics, prefetch, lease_seconds)
    _run(url, queue, subscription, Decision, handler, attempts, stop)


def consume_alerts(  # noqa: PLR0913 - each is a keyword that a user may need
    url: str,
    handler: Callable[[Alert], object],
    *,
    group: str | None = None,
    topics: Sequence[str] = (),
    attempts: int = ATTEMPTS,
    prefetch: int = PREFETCH,
    lease_seconds: float = LEASE_SECONDS,
    prefix: str = "faceid",
    stop: threading.Event | None = None,
) -> None:
    """The same for alerts, whose queue is `faceid.alerts`."""
    queue = ResultQueue.of(prefix, ALERTS, group)
    subscription = _subscribe(url, queue, topics, prefetch, lease_seconds)
    _run(url, queue, subscription, Alert, handler, attempts, stop)


def _subscribe(
    url: str, queue: ResultQueue, topics: Sequence[str], prefetch: int, lease_seconds: float
) -> Subscription:
    """Not yet connected. Raises ValueError for what can't be."""
    if prefetch < 1:
        raise ValueError("prefetch has to be 1 or more")
    engine = engine_of(url)
    if engine == "rabbit":
        return RabbitSubscription(url, queue, prefetch, topics)
    if engine != "streams":
        raise ValueError(
            "consume() reads redis:// and amqp:// URLs; what is published to another transport"
            " is for a consumer of that transport, such as kombu's own"
        )
    if topics:
        raise ValueError("topics need RabbitMQ: on Redis every group gets everything")
    return StreamsSubscription(url, queue, prefetch, lease_seconds)


def _run(
    url: str,
    queue: ResultQueue,
    subscription: Subscription,
    kind: type[M],
    handler: Callable[[M], object],
    attempts: int,
    stop: threading.Event | None,
) -> None:
    if attempts < 1:
        raise ValueError("attempts has to be 1 or more")
    with closing(open_publisher(url, PUBLISH_SECONDS, queues=())) as publisher, _stopped_by_signals(stop) as told:
        work = Attempts(kind, handler, attempts, queue, publisher, told)
        connection_thread = ConnectionThread(subscription, told)
        connection_thread.start()
        try:
            for received in connection_thread.received():
                connection_thread.settle(received, done=work.settle(received))
        finally:
            connection_thread.end()


@contextmanager
def _stopped_by_signals(stop: threading.Event | None) -> Iterator[threading.Event]:
    """The event given, or one that SIGTERM and SIGINT set; the second of them does what it did before."""
    told = stop or threading.Event()
    if stop is not None or threading.current_thread() is not threading.main_thread():
        yield told
        return

    def tell(number: int, _frame: FrameType | None) -> None:
        restore()
        threading.Thread(target=told.set).start()  # set() here could wait for what this very thread holds

    before = {number: signal.signal(number, tell) for number in (signal.SIGTERM, signal.SIGINT)}

    def restore() -> None:
        for number, action in before.items():
            signal.signal(number, action)

    try:
        yield told
    finally:
        restore()
