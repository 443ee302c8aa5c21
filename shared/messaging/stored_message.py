"""A message that is stored outside the queues: a dead letter, an unverified callback, or a delayed message."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256
from itertools import accumulate, pairwise
from math import isfinite
from typing import Any, Final, Self

from shared.messaging.errors import Undecodable
from shared.messaging.message import FIELD, STORED_MESSAGE_VERSION, Message, check_version
from shared.messaging.topology import STAGES, Stage

MAX_RAW: Final = 1_048_576
"""Most bytes that a dead letter keeps of a stored message that can't be read."""
SET_FIELD, ID_FIELD, RAW_FIELD = b"message_set", b"id", b"stored_message"
"""The names in `entry` of such a dead letter."""
FIELDS: Final[Mapping[str, Any]] = {
    "id": None,
    "stage": None,
    "reason": "",
    "detail": "",
    "at": 0.0,
    "attempts": 0,
    "account": "",
    "biz_id": "",
    "body_bytes": 0,
    "body_sha256": "",
}
"""The fields of the JSON but `message` and `entry`, with their defaults."""


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
    others: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """Fields that this version does not know. They stay on the item."""
    raw: bytes = field(default=b"", repr=False)
    """What is stored, if it can't be read: then `reason` is `undecodable` and `detail` the fault. Never stored."""

    @classmethod
    def unreadable(cls, item_id: str, stage: Stage, raw: bytes, fault: Undecodable) -> Self:
        """In the place of an item that can't be read."""
        return cls(item_id, stage, "undecodable", str(fault), 0.0, raw=raw)

    def dead_letter(self, message_set: str) -> "StoredMessage":
        """An unreadable item of this message set as a dead letter, with at most the first `MAX_RAW` bytes of its text.

        A replay puts the text back into the message set, for a version that can read it.
        """
        entry = ((SET_FIELD, message_set.encode()), (ID_FIELD, self.id.encode()), (RAW_FIELD, self.raw[:MAX_RAW]))
        letter = replace(self, id=f"{message_set}:{self.id}", message=None, entry=entry, raw=b"")
        if (size := len(self.raw)) <= MAX_RAW:
            return letter
        return replace(letter, body_bytes=size, body_sha256=sha256(self.raw).hexdigest())

    @property
    def origin(self) -> tuple[str, str, bytes] | None:
        """Of a dead letter that `dead_letter` made: the message set, the item's id, and its text."""
        if [name for name, _ in self.entry] != [SET_FIELD, ID_FIELD, RAW_FIELD]:
            return None
        message_set, item_id, raw = (value for _, value in self.entry)
        return message_set.decode(), item_id.decode(), raw

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
        record: dict[str, Any] = {**self.others, FIELD: STORED_MESSAGE_VERSION}
        record |= {name: value for name in FIELDS if (value := getattr(self, name))}
        tail = [part for pair in self.entry for part in pair]
        if self.entry:
            record["entry"] = [len(part) for part in tail]
        if self.message is not None:
            record["message"] = _head(self.message)
            tail.append(self.message.body)
        return json.dumps(record, separators=(",", ":")).encode() + b"\n" + b"".join(tail)

    @classmethod
    def load(cls, raw: bytes) -> Self:
        """The stored message that `dump` wrote. Raises `Undecodable` for anything else.

        Also reads version 1, one JSON text in which each byte of a body was one character (latin-1).
        """
        head, _, tail = raw.partition(b"\n")
        try:
            record = json.loads(head)
        except (ValueError, RecursionError):
            raise Undecodable("stored message: not JSON") from None
        if not isinstance(record, dict):
            raise Undecodable("stored message: not a JSON object")
        check_version(record, STORED_MESSAGE_VERSION)
        try:
            entry, rest = _entry(record.pop("entry", ()), tail)
            message = _message(record.pop("message", None), rest)
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError):
            raise Undecodable("stored message: message or entry of a wrong form") from None
        found = {name: record.pop(name, default) for name, default in FIELDS.items()}
        record.pop(FIELD, None)
        if fault := _fault(found):
            raise Undecodable(f"stored message: {fault}")
        return cls(**found, message=message, entry=entry, others=record)


def _head(message: Message) -> dict[str, Any]:
    head = {"queue": message.queue, "content_type": message.content_type, "headers": dict(message.headers)}
    return {**head, "topic": message.topic} if message.topic else head


def _message(head: Any, body: bytes) -> Message | None:
    if isinstance(head, list):  # the former form
        queue, text, content_type, headers, *topic = head
        return Message(_text(queue), text.encode("latin-1"), _text(content_type), dict(headers), *map(_text, topic))
    if head is None:
        return None
    return Message(
        _text(head["queue"]), body, _text(head["content_type"]), dict(head["headers"]), _text(head.get("topic", ""))
    )


def _entry(parts: Any, tail: bytes) -> tuple[tuple[tuple[bytes, bytes], ...], bytes]:
    """The names and values, and the bytes after them."""
    if parts and isinstance(parts[0], list):  # the former form
        return tuple((name.encode("latin-1"), value.encode("latin-1")) for name, value in parts), tail
    ends = list(accumulate(parts, initial=0))
    values = [tail[start:end] for start, end in pairwise(ends)]
    return tuple(zip(values[::2], values[1::2], strict=True)), tail[ends[-1] :]


def _fault(found: Mapping[str, Any]) -> str:
    """What is wrong with these fields; empty when nothing is."""
    if found["stage"] not in STAGES:
        return "stage is unknown"
    if not found["id"]:
        return "id is missing"
    for name, default in FIELDS.items():
        value = found[name]
        if default is None or isinstance(default, str):
            good = isinstance(value, str)
        elif isinstance(default, float):
            good = type(value) in {int, float} and isfinite(value)
        else:
            good = type(value) is int
        if not good:
            return f"{name} has a wrong type"
    return ""


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value
