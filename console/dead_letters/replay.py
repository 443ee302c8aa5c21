"""The ways off a message set: back to the queue, or away for good. Either is noted on the case in the same step."""

import json
import os
import pwd
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any, Final, Literal, Protocol

from shared.ledger.case_key import CaseKey, case_key, release_command
from shared.ledger.message_set import Command, MessageSet, SetName, put_commands
from shared.messaging.message import Message
from shared.messaging.stored_message import StoredMessage
from shared.messaging.topology import BY_STAGE, queue_name
from shared.streams import Channel

TOMBSTONES: Final = 10_000
"""Tombstones kept; the oldest go first."""
_COUNTERS: Final = frozenset({"attempts", "x-delivery-count"})


@dataclass(frozen=True, slots=True)
class MoveContext:
    """Who moves items, from which message set, when and why."""

    prefix: str
    message_set: SetName
    by: str
    at: float
    """Unix seconds."""
    note: str
    retention_seconds: float
    """How long a case lives on after this."""

    def noted(self, kind: Literal["replay", "drop"], stored: StoredMessage) -> tuple[Command, ...]:
        """The commands that note the move on the item's case, where that is known."""
        if not stored.biz_id:
            return ()
        key = case_key(self.prefix, CaseKey(stored.account, stored.biz_id))
        told = {
            "by": self.by,
            "note": self.note,
            "message_set": self.message_set,
            "stage": stored.stage,
            "reason": stored.reason,
        }
        field = f"{kind}:{stored.id}:{self.at * 1000:.0f}"
        return (("HSET", key, field, json.dumps(told)), ("PEXPIRE", key, int(self.retention_seconds * 1000)))


class Replay:
    """Back to the queue that the item's stage reads, its attempts forgotten; the queues are on the ledger's Redis."""

    def __init__(self, context: MoveContext, channel: Channel) -> None:
        self._context = context
        self._channel = channel

    def can_take(self, _: StoredMessage) -> bool:
        """Everything."""
        return True

    def prepare(self, batch: Sequence[StoredMessage]) -> None:
        """Nothing: all of it is one step."""

    def commands(self, stored: StoredMessage) -> Sequence[Command]:
        """The note first: when it is refused, nothing is on the queue."""
        return (*self._context.noted("replay", stored), self._addition(stored))

    def _addition(self, stored: StoredMessage) -> Command:
        if stored.message is None:
            return entry_addition(self._context.prefix, stored)
        message = fresh(stored.message)
        words: Any = self._channel.entry_command(
            message.queue, message.body, content_type=message.content_type, headers=dict(message.headers)
        )
        return tuple(words)


class Sink(Protocol):
    """Where messages can be published, as by a `Publisher`."""

    def publish(self, messages: Sequence[Message]) -> None:
        """Store all of them; raises `NotStored`."""


class CrossServerReplay:
    """Back to a queue of another broker: published first, so that an interruption repeats a message and loses none."""

    def __init__(self, context: MoveContext, publisher: Sink, add: Callable[[Sequence[Command]], None] | None) -> None:
        """`add` runs commands where the broker's streams are; None when it has none."""
        self._context = context
        self._publisher = publisher
        self._add = add

    def can_take(self, stored: StoredMessage) -> bool:
        """What could not be read from a stream can only go back to a stream."""
        return stored.message is not None or self._add is not None

    def prepare(self, batch: Sequence[StoredMessage]) -> None:
        """Publish; raises `NotStored`, or `redis.RedisError`."""
        self._publisher.publish([fresh(stored.message) for stored in batch if stored.message is not None])
        entries = [entry_addition(self._context.prefix, stored) for stored in batch if stored.message is None]
        if entries and self._add is not None:
            self._add(entries)

    def commands(self, stored: StoredMessage) -> Sequence[Command]:
        """The note."""
        return self._context.noted("replay", stored)


class Drop:
    """Away for good, but for a tombstone; another item may carry the case."""

    def __init__(self, context: MoveContext, tombstones: MessageSet) -> None:
        self._context = context
        self._tombstones = tombstones

    def can_take(self, _: StoredMessage) -> bool:
        """Everything."""
        return True

    def prepare(self, batch: Sequence[StoredMessage]) -> None:
        """Make room for the tombstones."""
        self._tombstones.trim(TOMBSTONES - len(batch))

    def commands(self, stored: StoredMessage) -> Sequence[Command]:
        """The tombstone, and on the case its release and the note."""
        context = self._context
        told = f"dropped by {context.by} from the message set {context.message_set}"
        stone = replace(stored, at=context.at, detail=told, message=None, entry=())
        commands = put_commands(context.prefix, "tombstones", stone)
        if stored.biz_id:
            commands += (release_command(context.prefix, CaseKey(stored.account, stored.biz_id)),)
        return (*commands, *context.noted("drop", stored))


def fresh(message: Message) -> Message:
    """The message as if it had never been tried."""
    return replace(message, headers={name: value for name, value in message.headers.items() if name not in _COUNTERS})


def entry_addition(prefix: str, stored: StoredMessage) -> Command:
    """The command that puts what could not be read back on its stage's queue, as it was found."""
    queue = queue_name(prefix, BY_STAGE[stored.stage].reads)
    return ("XADD", queue, "*", *chain.from_iterable(stored.entry))


def os_user() -> str:
    """The operating system's name for whoever runs this; the number where it has none."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())
