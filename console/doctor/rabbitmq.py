"""What the start-up checks find at a RabbitMQ: whether it takes what workers declare, publish and read."""

import time
from collections.abc import Callable, Sequence
from typing import Any, Final
from uuid import uuid4

from console.doctor.probe import Probe, Refusal, refusal
from shared.brokers.factory import rabbit_topology
from shared.messaging.errors import BrokerUnavailable
from shared.rabbit import Link, dialer
from shared.rabbit.confirms import Confirms, Refused

OLDEST: Final = (3, 10)
"""The first RabbitMQ whose quorum queues let messages expire."""
HEARTBEAT: Final = 10.0
ALARM: Final = Refusal(
    "it takes nothing in: its memory or its disk is full",
    "Make room, or raise vm_memory_high_watermark; callbacks are answered 503 meanwhile.",
)


def probe_rabbit(url: str, setting: str, prefix: str, queues: Sequence[str], seconds: float) -> tuple[Probe, ...]:
    """All probes up to the first that fails, each for at most `seconds`; `queues` by their short names."""
    try:
        link = Link(dialer(url, seconds, HEARTBEAT))
    except BrokerUnavailable as lost:
        return (Probe("", _refused(lost, setting)),)
    probes = [Probe("", _version(link))]
    tries: dict[str, Callable[[], str | Refusal]] = {
        "queues": lambda: _declare(link, prefix, queues),
        "confirms": lambda: _send(link, prefix, seconds),
    }
    try:
        for what, attempt in tries.items():
            probes.append(Probe(what, attempt()))
    except BrokerUnavailable as lost:
        probes.append(Probe(what, _refused(lost, setting)))
    finally:
        link.close()
    return tuple(probes)


def _refused(lost: BrokerUnavailable, setting: str) -> Refusal:
    return refusal(lost.__cause__ if isinstance(lost.__cause__, Exception) else lost, setting)


def _version(link: Link) -> str | Refusal:
    version = str(link.channel.connection.server_properties.get("version", "?"))
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
    if numbers < OLDEST:
        return Refusal(f"version {version}", "Use RabbitMQ 3.10 or later: in older quorum queues nothing expires.")
    return f"reachable, version {version}"


def _declare(link: Link, prefix: str, queues: Sequence[str]) -> str:
    """As every worker does at its start."""
    with link.guarded():
        rabbit_topology(prefix, queues).declare(link.channel)
    return "as they have to be"


def _send(link: Link, prefix: str, seconds: float) -> str | Refusal:
    """A message there and back, through a queue that vanishes with the connection."""
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
        return Refusal(f"a message was refused ({refused})", "Look into RabbitMQ's log.")
    if link.blocked:
        return ALARM
    if not confirmed:
        return Refusal("no message was confirmed in time", "Look at RabbitMQ's load and its disk.")
    with link.guarded():
        link.channel.basic_get(queue, no_ack=True)
    return "given, and read back"
