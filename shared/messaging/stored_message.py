"""A message that is stored outside the queues: a dead letter, an unverified callback, or a delayed message."""

import json
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Self

from shared.messaging.message import Message
from shared.messaging.topology import Stage


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """A message, the stage that it waits for, and why it is stored.

    `message` goes back to its queue as it is. A stream entry that could not be read as a message has its fields in
    `entry` instead.
    """

    id: str
    """The envelope's id; for an unreadable message the queue's name and the entry's id."""
    stage: Stage
    reason: str
    detail: str
    """For a person: a rule or the type of an error, never a value from the message."""
    at: float
    """Unix seconds: when it was stored; in the message set `delayed`, when it is due."""
    attempts: int = 0
    account: str = ""
    biz_id: str = ""
    message: Message | None = None
    entry: tuple[tuple[bytes, bytes], ...] = field(default=(), repr=False)

    def dump(self) -> bytes:
        """As JSON. Bytes that need not be text become one character each (latin-1)."""
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
        """The stored message that `dump` wrote. Raises ValueError, KeyError or TypeError for anything else."""
        record: dict[str, Any] = json.loads(raw)
        message, entry = record.pop("message", None), record.pop("entry", ())
        if message is not None:
            queue, body, *rest = message
            message = Message(queue, body.encode("latin-1"), *rest)
        pairs = tuple((name.encode("latin-1"), value.encode("latin-1")) for name, value in entry)
        return cls(**{"reason": "", "detail": "", "at": 0.0, **record}, message=message, entry=pairs)
