"""A message to be published."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Message:
    """One message for one queue, by the queue's full name."""

    queue: str
    body: bytes = field(repr=False)
    content_type: str
    headers: Mapping[str, str | int | float] = field(repr=False)
    topic: str = ""
    """A result's routing key on RabbitMQ, such as `decision.default.approved`. Empty on the inner queues."""
