"""An item that rests outside the queues: a dead letter, an unverified callback, or one that is due later."""

import json
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Self

from shared.messaging.message import Message
from shared.messaging.topology import Stage


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """A message, the stage it rests before, and why.

    `message` is the message as it goes back to its queue. A message that could not be read at all keeps the fields it
    was found with in `entry` instead.
    """

    id: str
    """The envelope's id; for what could not be read, the queue's name and the place in it."""
    stage: Stage
    reason: str
    detail: str
    """What a person should know: a rule or a type, never a value from the message."""
    at: float
    """Unix seconds: when it was stored; on the message set `delayed`, when it is due."""
    attempts: int = 0
    account: str = ""
    biz_id: str = ""
    message: Message | None = None
    entry: tuple[tuple[bytes, bytes], ...] = field(default=(), repr=False)

    def dump(self) -> bytes:
        """As JSON; bytes that need not be text are kept one character a byte (latin-1)."""
        record = {name: value for name, value in asdict(replace(self, message=None, entry=())).items() if value}
        if self.message is not None:
            headers = dict(self.message.headers)
            parts = (
                self.message.queue,
                self.message.body.decode("latin-1"),
                self.message.content_type,
                headers,
                self.message.topic,
            )
            record["message"] = parts if self.message.topic else parts[:-1]
        if self.entry:
            record["entry"] = [[name.decode("latin-1"), value.decode("latin-1")] for name, value in self.entry]
        return json.dumps(record, separators=(",", ":")).encode()

    @classmethod
    def load(cls, raw: bytes) -> Self:
        """What `dump` wrote."""
        record: dict[str, Any] = json.loads(raw)
        message, entry = record.pop("message", None), record.pop("entry", ())
        if message is not None:
            queue, body, *rest = message
            message = Message(queue, body.encode("latin-1"), *rest)
        pairs = tuple((name.encode("latin-1"), value.encode("latin-1")) for name, value in entry)
        return cls(**{"reason": "", "detail": "", "at": 0.0, **record}, message=message, entry=pairs)
