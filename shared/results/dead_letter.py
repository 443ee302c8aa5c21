"""A message that its consumer gave up, on its way to the consumer's dead letters."""

from datetime import UTC, datetime
from typing import Any, Literal

from shared.messaging.message import Message
from shared.results.queue import ResultQueue
from shared.results.received import Received

Reason = Literal["undecodable", "attempts_exhausted", "poison"]


class Dead(Exception):
    """This message will not be handled: why, in a word and in detail, and after how many attempts."""

    def __init__(self, reason: Reason, detail: str, attempts: int = 0) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail
        self.attempts = attempts


def dead_letter(received: Received, why: Dead, queue: ResultQueue) -> Message:
    """The message with its body as it came, and headers `dead-...` beside its own that say why it is there."""
    return Message(
        queue=queue.dead,
        body=received.body,
        content_type=received.content_type,
        headers={
            **{name: value for name, value in received.headers.items() if _plain(name, value)},
            "dead-reason": why.reason,
            "dead-detail": why.detail,
            "dead-attempts": why.attempts,
            "dead-deliveries": received.earlier + 1,
            "dead-from": queue.own,
            "dead-at": datetime.now(UTC).isoformat(timespec="milliseconds"),
        },
    )


def _plain(name: str, value: Any) -> bool:
    """Whether a header is the sender's and can stand on any broker."""
    return not name.startswith("x-") and isinstance(value, str | int | float)
