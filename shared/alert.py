"""An alert: something that a person has to know about, beside the decisions."""

from enum import StrEnum
from typing import Final, Self
from uuid import UUID, uuid5

from pydantic import BaseModel, ConfigDict

from shared.decision import Timestamp, timestamp

Detail = str | float | None

_NAMESPACE: Final = UUID("0d2f3a86-6a57-5a4b-8a0c-1f5f4f0f9b7d")


class AlertKind(StrEnum):
    """What happened; a segment of RabbitMQ's routing key."""

    EVIDENCE_CONFLICT = "evidence_conflict"
    DATA_SOURCE_ERROR = "data_source_error"
    BREAKER_OPENED = "breaker_opened"
    BREAKER_CLOSED = "breaker_closed"


WORDS: Final[dict[AlertKind, str]] = {
    AlertKind.EVIDENCE_CONFLICT: (
        "Signed evidence that came later contradicts the decision. The decision stands: look at the case."
    ),
    AlertKind.DATA_SOURCE_ERROR: (
        "FaceID reports DATA_SOURCE_ERROR."
        " The vendor demands: stop the service, contact FaceID, and wait until it is fixed."
    ),
    AlertKind.BREAKER_OPENED: (
        "Every GetResult call of this account fails, so reading pauses; callbacks are still taken in."
    ),
    AlertKind.BREAKER_CLOSED: "GetResult answers again; reading goes on.",
}


class Alert(BaseModel):
    """The `data` of an alert message."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    kind: AlertKind
    account: str
    biz_id: str | None
    """None when it is about the whole account."""
    message: str
    """What happened and what to do, in words."""
    detail: dict[str, Detail]
    """Facts by name; never personal data, never a secret."""
    at: Timestamp

    @property
    def id(self) -> str:
        """The same for the same alert, on whatever machine: a repeat can be told by it."""
        return str(uuid5(_NAMESPACE, f"{self.account}\n{self.kind}\n{self.biz_id}\n{self.at}"))

    @classmethod
    def of(cls, kind: AlertKind, account: str, at: float, biz_id: str | None = None, **detail: Detail) -> Self:
        """An alert in the words of its kind; `at` is in Unix seconds."""
        return cls(kind=kind, account=account, biz_id=biz_id, message=WORDS[kind], detail=detail, at=timestamp(at))
