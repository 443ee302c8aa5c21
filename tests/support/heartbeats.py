"""AMQP heartbeats without waiting for them: move py-amqp's clock instead."""

from time import monotonic
from typing import Final

import pytest

from shared.rabbit import Link

AMQP_CLOCK: Final = "amqp.connection.monotonic"


def skip_heartbeats(patch: pytest.MonkeyPatch, link: Link | None, intervals: float) -> None:
    """Move py-amqp's clock on by so many heartbeat intervals of a link.

    After half an interval without traffic the client sends a heartbeat at its next chance. After two intervals without
    traffic it takes the broker for dead.
    """
    assert link is not None
    link.drain()  # note the traffic so far under the present time
    move_clock(patch, intervals * link._amqp.heartbeat)


def move_clock(patch: pytest.MonkeyPatch, seconds: float) -> None:
    """Move py-amqp's clock on, for all links."""
    patch.setattr(AMQP_CLOCK, lambda: monotonic() + seconds)


def bytes_sent(link: Link | None) -> int:
    """py-amqp's count of what it has sent: one for a heartbeat."""
    assert link is not None
    sent: int = link._amqp.bytes_sent
    return sent
