"""The dead letters of a consumer: messages that it gave up, in a queue beside its own."""

from datetime import UTC, datetime
from typing import Any, Literal

from shared.messaging.delivery import Delivery
from shared.messaging.message import Message
from shared.results.queue import ResultQueue

Reason = Literal["undecodable", "attempts_exhausted", "poison"]


class PermanentFailure(Exception):
    """This message can't be handled."""

    def __init__(self, reason: Reason, detail: str, attempts: int = 0) -> None:
        """`detail`: an exception's type and place, or a rule; `attempts`: how often the handler was called."""
        super().__init__(detail)
        self.reason = reason
        self.detail = detail
        self.attempts = attempts


def to_dead_letter(delivery: Delivery, failure: PermanentFailure, queue: ResultQueue) -> Message:
    """The message with its own body and headers, and headers `dead-...` that say why it is there."""
    return Message(
        queue=queue.dead,
        body=delivery.body,
        content_type=delivery.content_type,
        headers={
            **{name: value for name, value in delivery.headers.items() if _is_portable(name, value)},
            "dead-reason": failure.reason,
            "dead-detail": failure.detail,
            "dead-attempts": failure.attempts,
            "dead-deliveries": delivery.delivery_count + 1,
            "dead-from": queue.own,
            "dead-at": datetime.now(UTC).isoformat(timespec="milliseconds"),
        },
    )


def _is_portable(name: str, value: Any) -> bool:
    """Whether a header is the sender's, and any broker can store it."""
    return not name.startswith("x-") and isinstance(value, str | int | float)
