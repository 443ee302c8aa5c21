"""What has to exist on the broker before messages are published or received."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

QUORUM: Final = {"x-queue-type": "quorum"}
"""Replicated, always durable; its messages survive the loss of a minority of the nodes."""
UNLIMITED: Final = {**QUORUM, "x-delivery-limit": 2**31 - 1}
"""By default RabbitMQ 4 drops a message after 20 deliveries; 3.x refuses a negative limit, which means none in 4."""


@dataclass(frozen=True, slots=True)
class Topology:
    """Queues by name with their arguments, and the topic exchange that fills some of them."""

    queues: Mapping[str, Mapping[str, Any]]
    """The arguments of each queue by its name."""
    exchange: str = ""
    bindings: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """The topics that are routed to each of these queues, as patterns: `decision.#`."""

    def declare(self, channel: Any) -> None:
        """Make what is missing. Raises py-amqp's `PreconditionFailed` where a queue exists with other arguments."""
        for name in self.queues:
            self.declare_queue(channel, name)
        if self.bindings:
            channel.exchange_declare(self.exchange, "topic", durable=True, auto_delete=False)
        for name, patterns in self.bindings.items():
            for pattern in patterns:
                channel.queue_bind(name, self.exchange, pattern)

    def declare_queue(self, channel: Any, name: str) -> int:
        """Make the queue if it is missing; returns how many messages wait in it."""
        arguments = dict(self.queues.get(name, QUORUM))
        declared = channel.queue_declare(name, durable=True, auto_delete=False, arguments=arguments)
        return int(declared.message_count)
