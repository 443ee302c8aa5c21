"""What has to exist on the broker before anything can be published."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

QUORUM: Final = {"x-queue-type": "quorum"}
"""Replicated, always durable; its messages survive the loss of a minority of the nodes."""
UNLIMITED: Final = {**QUORUM, "x-delivery-limit": 2**31 - 1}
"""RabbitMQ 4 drops a message after 20 deliveries unless it is told otherwise; 3.x refuses a negative number."""


@dataclass(frozen=True, slots=True)
class Topology:
    """Queues by name with their arguments, and the topic exchange that fills some of them."""

    queues: Mapping[str, Mapping[str, Any]]
    exchange: str = ""
    bindings: Mapping[str, str] = field(default_factory=dict)
    """The pattern of the topics that each of these queues gets."""

    def declare(self, channel: Any) -> None:
        """Make what is missing. Raises `PreconditionFailed` of py-amqp where something else has the name."""
        for name in self.queues:
            self.declare_queue(channel, name)
        if self.bindings:
            channel.exchange_declare(self.exchange, "topic", durable=True, auto_delete=False)
        for name, pattern in self.bindings.items():
            channel.queue_bind(name, self.exchange, pattern)

    def declare_queue(self, channel: Any, name: str) -> int:
        """Make the queue if it is missing; the number of its messages that wait."""
        arguments = dict(self.queues.get(name, QUORUM))
        declared = channel.queue_declare(name, durable=True, auto_delete=False, arguments=arguments)
        return int(declared.message_count)
