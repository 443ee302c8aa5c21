"""What a stage may say of an item: a closed set. `settlement.py` turns each into what is written where."""

from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, Protocol

from shared.messaging.message import Post

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
    """Done for good: `posts` go out, once for the ledger's mark `once` (a hash, a field, a value)."""

    posts: tuple[Post, ...]
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
class Later:
    """To be tried again after `seconds`. An `attempt` is spent unless the cause lies with a dependency or the clock."""

    seconds: float
    why: str
    attempt: bool = False


@dataclass(frozen=True, slots=True)
class Dead:
    """The pipeline failed on this item: a dead letter, with all that is needed to replay it."""

    reason: DeadReason
    detail: str


Outcome = Forward | Publish | Drop | Unverified | Later | Dead

UNKNOWN_ACCOUNT: Final = Dead("unknown_account", "no such account in this worker's settings")
