"""Probes of a RabbitMQ: whether workers can declare, publish and read."""

import time
from collections.abc import Callable, Sequence
from typing import Any, Final
from uuid import uuid4

from console.doctor.probe import Probe, Refusal, explain_error
from shared.brokers.factory import rabbit_topology
from shared.messaging.errors import BrokerUnavailable
from shared.rabbit import Link, dialer
from shared.rabbit.confirms import Confirms, Refused

OLDEST: Final = (3, 10)
"""The first RabbitMQ version whose quorum queues let messages expire."""
HEARTBEAT: Final = 10.0
ALARM: Final = Refusal(
    "it blocks publishers: its memory or its disk is full",
    "Free memory or disk, or raise vm_memory_high_watermark. Until then callbacks are answered 503.",
)


def probe_rabbit(url: str, setting: str, prefix: str, queues: Sequence[str], seconds: float) -> tuple[Probe, ...]:
    """Run the probes up to the first that fails. `seconds`: time-out of each. `queues`: short names."""
    try:
        link = Link(dialer(url, seconds, HEARTBEAT))
    except BrokerUnavailable as error:
        return (Probe("", _refusal(error, setting)),)
    probes = [Probe("", _version(link))]
    tries: dict[str, Callable[[], str | Refusal]] = {
        "queues": lambda: _declare(link, prefix, queues),
        "confirms": lambda: _send(link, prefix, seconds),
    }
    try:
        for what, attempt in tries.items():
            probes.append(Probe(what, attempt()))
    except BrokerUnavailable as error:
        probes.append(Probe(what, _refusal(error, setting)))
    finally:
        link.close()
    return tuple(probes)


def _refusal(error: BrokerUnavailable, setting: str) -> Refusal:
    return explain_error(error.__cause__ if isinstance(error.__cause__, Exception) else error, setting)


def _version(link: Link) -> str | Refusal:
    version = str(link.channel.connection.server_properties.get("version", "?"))
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
    if numbers < OLDEST:
        return Refusal(
            f"version {version}", "Use RabbitMQ 3.10 or later: older quorum queues never let messages expire."
        )
    return f"reachable, version {version}"


def _declare(link: Link, prefix: str, queues: Sequence[str]) -> str:
    """Declare the queues, as every worker does at its start."""
    with link.guarded():
        rabbit_topology(prefix, queues).declare(link.channel)
    return "declared"


def _send(link: Link, prefix: str, seconds: float) -> str | Refusal:
    """Publish a message and read it back, through a queue that is deleted with the connection."""
    queue = f"{prefix}.doctor-{uuid4().hex}"
    with link.guarded():
        channel: Any = link.channel
        channel.queue_declare(queue, exclusive=True)
        confirms = Confirms(channel)
        confirms.begin()
        link.publish("", queue, channel.prepare_message(b""))
        confirms.sent()
    end = time.monotonic() + seconds
    try:
        while not link.blocked and not confirms.complete and time.monotonic() < end:
            link.drain(end - time.monotonic())
        confirmed = confirms.complete
    except Refused as refused:
        return Refusal(f"a message was refused ({refused})", "Read RabbitMQ's log.")
    if link.blocked:
        return ALARM
    if not confirmed:
        return Refusal("no message was confirmed in time", "Check RabbitMQ's load and its disk.")
    with link.guarded():
        link.channel.basic_get(queue, no_ack=True)
    return "a message was confirmed and read back"
