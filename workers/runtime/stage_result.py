"""What a stage may say of an item: a closed set. `settlement.py` turns each into what is written where."""

from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, Protocol

from shared.messaging.message import Message

DeadReason = Literal["undecodable", "poison", "error", "attempts_exhausted", "unknown_account"]
UnverifiedReason = Literal["bad_signature", "malformed"]


class Value(Protocol):
    """What one stage makes for the next."""

    @property
    def biz_id(self) -> str:
        """The case it belongs to."""

    def dump(self) -> bytes:
        """As the body of a message."""


class Forward(NamedTuple):
    """Done here: `value` is the next stage's input."""

    value: Value


class Publish(NamedTuple):
    """Done for good: `messages` go out, once for the ledger's mark `once` (a hash, a field, a value)."""

    messages: tuple[Message, ...]
    once: tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Drop:
    """Nothing is left to do for this item, for the reason `why`."""

    why: str


@dataclass(frozen=True, slots=True)
class Unverified:
    """It could not be shown to come from FaceID: kept aside, replayable after a mended secret."""

    reason: UnverifiedReason
    detail: str


@dataclass(frozen=True, slots=True)
class Delay:
    """To be tried again after `seconds`. An `attempt` is spent unless the cause lies with a dependency or the clock."""

    seconds: float
    why: str
    attempt: bool = False


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """The pipeline failed on this item: a dead letter, with all that is needed to replay it."""

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
"""The name of each result in logs; those of the exits stand in the topology too."""

UNKNOWN_ACCOUNT: Final = DeadLetter("unknown_account", "no such account in this worker's settings")
