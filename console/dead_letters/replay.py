"""The ways off a shelf: back to the queue, or away for good. Either is noted on the case in the same step."""

import json
import os
import pwd
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any, Final, Literal, Protocol

from shared.ledger.case_key import CaseKey, case_key, release_command
from shared.ledger.message_set import Command, Name, Shelf, put_commands
from shared.messaging.message import Post
from shared.messaging.stored_message import Parked
from shared.messaging.topology import BY_STAGE, queue_name
from shared.streams import Channel

TOMBSTONES: Final = 10_000
"""Tombstones kept; the oldest go first."""
_COUNTERS: Final = frozenset({"attempts", "x-delivery-count"})


@dataclass(frozen=True, slots=True)
class Hand:
    """Who moves items, from which shelf, when and why."""

    prefix: str
    shelf: Name
    by: str
    at: float
    """Unix seconds."""
    note: str
    retention_seconds: float
    """How long a case lives on after this."""

    def noted(self, kind: Literal["replay", "drop"], parked: Parked) -> tuple[Command, ...]:
        """The commands that note the move on the item's case, where that is known."""
        if not parked.biz_id:
            return ()
        key = case_key(self.prefix, CaseKey(parked.account, parked.biz_id))
        told = {"by": self.by, "note": self.note, "shelf": self.shelf, "stage": parked.stage, "reason": parked.reason}
        field = f"{kind}:{parked.id}:{self.at * 1000:.0f}"
        return (("HSET", key, field, json.dumps(told)), ("PEXPIRE", key, int(self.retention_seconds * 1000)))


class Replay:
    """Back to the queue that the item's stage reads, its attempts forgotten; the queues are on the ledger's Redis."""

    def __init__(self, hand: Hand, channel: Channel) -> None:
        self._hand = hand
        self._channel = channel

    def can_take(self, _: Parked) -> bool:
        """Everything."""
        return True

    def prepare(self, batch: Sequence[Parked]) -> None:
        """Nothing: all of it is one step."""

    def commands(self, parked: Parked) -> Sequence[Command]:
        """The note first: when it is refused, nothing is on the queue."""
        return (*self._hand.noted("replay", parked), self._addition(parked))

    def _addition(self, parked: Parked) -> Command:
        if parked.post is None:
            return entry_addition(self._hand.prefix, parked)
        post = fresh(parked.post)
        words: Any = self._channel.entry_command(
            post.queue, post.body, content_type=post.content_type, headers=dict(post.headers)
        )
        return tuple(words)


class Sink(Protocol):
    """Where messages can be published, as by a `Publisher`."""

    def publish(self, posts: Sequence[Post]) -> None:
        """Store all of them; raises `NotStored`."""


class ReplayElsewhere:
    """Back to a queue of another broker: published first, so that an interruption repeats a message and loses none."""

    def __init__(self, hand: Hand, publisher: Sink, add: Callable[[Sequence[Command]], None] | None) -> None:
        """`add` runs commands where the broker's streams are; None when it has none."""
        self._hand = hand
        self._publisher = publisher
        self._add = add

    def can_take(self, parked: Parked) -> bool:
        """What could not be read from a stream can only go back to a stream."""
        return parked.post is not None or self._add is not None

    def prepare(self, batch: Sequence[Parked]) -> None:
        """Publish; raises `NotStored`, or `redis.RedisError`."""
        self._publisher.publish([fresh(parked.post) for parked in batch if parked.post is not None])
        entries = [entry_addition(self._hand.prefix, parked) for parked in batch if parked.post is None]
        if entries and self._add is not None:
            self._add(entries)

    def commands(self, parked: Parked) -> Sequence[Command]:
        """The note."""
        return self._hand.noted("replay", parked)


class Drop:
    """Away for good, but for a tombstone; another item may carry the case."""

    def __init__(self, hand: Hand, tombstones: Shelf) -> None:
        self._hand = hand
        self._tombstones = tombstones

    def can_take(self, _: Parked) -> bool:
        """Everything."""
        return True

    def prepare(self, batch: Sequence[Parked]) -> None:
        """Make room for the tombstones."""
        self._tombstones.trim(TOMBSTONES - len(batch))

    def commands(self, parked: Parked) -> Sequence[Command]:
        """The tombstone, and on the case its release and the note."""
        hand = self._hand
        told = f"dropped by {hand.by} from the shelf {hand.shelf}"
        stone = replace(parked, at=hand.at, detail=told, post=None, entry=())
        commands = put_commands(hand.prefix, "tombstones", stone)
        if parked.biz_id:
            commands += (release_command(hand.prefix, CaseKey(parked.account, parked.biz_id)),)
        return (*commands, *hand.noted("drop", parked))


def fresh(post: Post) -> Post:
    """The message as if it had never been tried."""
    return replace(post, headers={name: value for name, value in post.headers.items() if name not in _COUNTERS})


def entry_addition(prefix: str, parked: Parked) -> Command:
    """The command that puts what could not be read back on its stage's queue, as it was found."""
    queue = queue_name(prefix, BY_STAGE[parked.stage].reads)
    return ("XADD", queue, "*", *chain.from_iterable(parked.entry))


def os_user() -> str:
    """The operating system's name for whoever runs this; the number where it has none."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())
