"""A message that is stored outside the queues: a dead letter, an unverified callback, or a delayed message."""

import json
from dataclasses import asdict, dataclass, field, replace
from hashlib import sha256
from itertools import accumulate, pairwise
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
    body_bytes: int = 0
    """Length of the whole body, when `message` holds only its first part. Such a message can't be replayed."""
    body_sha256: str = ""
    """SHA-256 of the whole body in hexadecimal, when `message` holds only its first part."""

    def shortened(self, limit: int) -> "StoredMessage":
        """The same with at most the first `limit` bytes of the body, and the length and SHA-256 of the whole one."""
        if self.message is None or len(body := self.message.body) <= limit:
            return self
        message = replace(self.message, body=body[:limit])
        return replace(self, message=message, body_bytes=len(body), body_sha256=sha256(body).hexdigest())

    def dump(self) -> bytes:
        """A line of JSON. After it come the bytes that need not be text: the body, or the names and values of `entry`.

        In the JSON, `message` is the message without its body, and `entry` the length of each name and value.
        """
        record = {name: value for name, value in asdict(replace(self, message=None, entry=())).items() if value}
        tail = [part for pair in self.entry for part in pair]
        if self.entry:
            record["entry"] = [len(part) for part in tail]
        if self.message is not None:
            record["message"] = _head(self.message)
            tail.append(self.message.body)
        return json.dumps(record, separators=(",", ":")).encode() + b"\n" + b"".join(tail)

    @classmethod
    def load(cls, raw: bytes) -> Self:
        """The stored message that `dump` wrote. Raises ValueError, KeyError or TypeError for anything else.

        Also reads the former form, one JSON text in which each byte of a body was one character (latin-1).
        """
        head, _, tail = raw.partition(b"\n")
        record: dict[str, Any] = {"reason": "", "detail": "", "at": 0.0, **json.loads(head)}
        entry, rest = _entry(record.pop("entry", ()), tail)
        message = _message(record.pop("message", None), rest)
        return cls(**record, message=message, entry=entry)


def _head(message: Message) -> dict[str, Any]:
    head = {"queue": message.queue, "content_type": message.content_type, "headers": dict(message.headers)}
    return {**head, "topic": message.topic} if message.topic else head


def _message(head: Any, body: bytes) -> Message | None:
    if isinstance(head, list):  # the former form
        queue, text, *rest = head
        return Message(queue, text.encode("latin-1"), *rest)
    return None if head is None else Message(body=body, **head)


def _entry(parts: Any, tail: bytes) -> tuple[tuple[tuple[bytes, bytes], ...], bytes]:
    """The names and values, and the bytes after them."""
    if parts and isinstance(parts[0], list):  # the former form
        return tuple((name.encode("latin-1"), value.encode("latin-1")) for name, value in parts), tail
    ends = list(accumulate(parts, initial=0))
    values = [tail[start:end] for start, end in pairwise(ends)]
    return tuple(zip(values[::2], values[1::2], strict=True)), tail[ends[-1] :]
