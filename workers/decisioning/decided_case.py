"""A decision on its way from `classify` to the results queue: the public `Decision` as msgspec Structs.

The fields are those of `Decision`, in the same order, so both have the same JSON. A Struct is made and written in a
tenth of the time, because its values come from our own code and need no validation.
"""

from functools import cached_property
from typing import Final, Self

import msgspec
from msgspec import Struct

from shared.events.decision import Decision, Effect, Outcome, PolicyRef, ReasonCode, decision_id
from workers.faceid.payload import FaceGenuineness


class Reason(Struct, frozen=True, gc=False):
    """One finding and its effect. The fields are those of `shared.events.decision.Reason`."""

    code: ReasonCode
    field: str
    value: float | str | None
    limit: float | tuple[float, float] | None
    effect: Effect


class Liveness(Struct, frozen=True, gc=False):
    """The liveness check in the evidence."""

    result: str | None
    procedure_type: str | None
    details: dict[str, int]


class Face(Struct, frozen=True, gc=False):
    """One face comparison."""

    ref: str
    confidence: float | None
    thresholds: dict[str, float]


class DecidedCase(Struct, frozen=True, dict=True, kw_only=True):
    """What `classify` hands to `publish`. See `shared.events.decision.Decision` for the fields."""

    biz_id: str
    biz_no: str | None
    biz_extra_data: str | None
    account: str
    outcome: Outcome
    reasons: tuple[Reason, ...]
    policy: PolicyRef
    reconciled: bool
    channels: tuple[str, ...]
    revision: int
    supersedes: str | None
    status: str | None
    liveness: Liveness | None
    genuineness: FaceGenuineness | None
    faces: tuple[Face, ...]
    received_at: str
    decided_at: str

    def __repr__(self) -> str:
        return f"<DecidedCase {self.account} {self.biz_id}>"  # the rest may be personal data

    @cached_property
    def id(self) -> str:
        """The id of the event that carries this decision."""
        return decision_id(self.account, self.biz_id, self.revision)

    @property
    def decision(self) -> Decision:
        """The public model of this decision."""
        return Decision.model_validate_json(self.dump())

    def dump(self) -> bytes:
        """The body of a message, as JSON; the same decision gives the same bytes."""
        return _encode(self)

    @classmethod
    def load(cls, body: bytes) -> Self:
        """Read what `dump` wrote. Raises msgspec.ValidationError, a ValueError, for another text."""
        return msgspec.json.decode(body, type=cls)


_encode: Final = msgspec.json.Encoder().encode
