"""The results that a stage may return: a closed set. `settlement.py` turns each into what is written where."""

from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

from shared.messaging.message import Message
from shared.messaging.reasons import DeadReason, UnverifiedReason


class Value(Protocol):
    """The output of a stage, and the input of the next one."""

    @property
    def biz_id(self) -> str:
        """The case it belongs to."""

    def dump(self) -> bytes:
        """The value as the body of a message."""


class Forward(NamedTuple):
    """The item goes on: `value` is the next stage's input."""

    value: Value


class Publish(NamedTuple):
    """The item is done: publish `messages`, unless the mark `once` is in the ledger already.

    The mark is the key of a hash, a field and its value.
    """

    messages: tuple[Message, ...]
    once: tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Drop:
    """The item is done, and nothing is published. `why` is for the log."""

    why: str


@dataclass(frozen=True, slots=True)
class Unverified:
    """The callback is not verified: stored, to be replayed if our secret was wrong."""

    reason: UnverifiedReason
    detail: str


@dataclass(frozen=True, slots=True)
class Delay:
    """Try the stage again after `seconds`. `attempt`: count this as a failed attempt; after the last one it is dead."""

    seconds: float
    why: str
    attempt: bool = False


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """The pipeline has failed on this item: store it as a dead letter, which can be replayed."""

    reason: DeadReason
    detail: str


StageResult = Forward | Publish | Drop | Unverified | Delay | DeadLetter

NAMES: Final[dict[type[StageResult], str]] = {
    Forward: "forward",
    Publish: "publish",
    Drop: "drop",
    Unverified: "unverified",
    Delay: "delay",
    DeadLetter: "dead",
}
"""The name of each result in logs; drop, unverified, delay and dead are the topology's exits."""

UNKNOWN_ACCOUNT: Final = DeadLetter("unknown_account", "no such account in this worker's settings")
