"""An alert: something that a person has to know about, beside the decisions."""

from enum import StrEnum
from typing import Final, Self
from uuid import UUID, uuid5

from pydantic import BaseModel, ConfigDict

from shared.events.decision import AccountName, BizId, Timestamp, timestamp

Detail = str | float | None

_NAMESPACE: Final = UUID("0d2f3a86-6a57-5a4b-8a0c-1f5f4f0f9b7d")


class AlertKind(StrEnum):
    """What happened; a segment of RabbitMQ's routing key."""

    EVIDENCE_CONFLICT = "evidence_conflict"
    DECISION_SUPERSEDED = "decision_superseded"
    DATA_SOURCE_ERROR = "data_source_error"
    BREAKER_OPENED = "breaker_opened"
    BREAKER_CLOSED = "breaker_closed"
    BUDGET_SPENT = "budget_spent"
    ATTACK_RATE = "attack_rate"
    BAD_SIGNATURE_RATE = "bad_signature_rate"
    DEAD_LETTERS_GROWING = "dead_letters_growing"
    BACKLOG_AGE = "backlog_age"


WORDS: Final[dict[AlertKind, str]] = {
    AlertKind.EVIDENCE_CONFLICT: (
        "Signed evidence that came later contradicts the decision. The decision stands: look at the case."
    ),
    AlertKind.DECISION_SUPERSEDED: (
        "A decision was replaced by another one with a different outcome, because better evidence came or because"
        " somebody decided it again. Act on the new one: the case says who, when and why."
    ),
    AlertKind.DATA_SOURCE_ERROR: (
        "FaceID reports DATA_SOURCE_ERROR."
        " The vendor demands: stop the service, contact FaceID, and wait until it is fixed."
    ),
    AlertKind.BREAKER_OPENED: (
        "Every GetResult call of this account fails, so reading pauses; callbacks are still taken in, none is lost."
        " Look at the cause: key, secret, base URL, quota or network. Reading goes on by itself when it is mended."
    ),
    AlertKind.BREAKER_CLOSED: "GetResult answers again; reading goes on, and nothing is to be done.",
    AlertKind.BUDGET_SPENT: (
        "The reads of GetResult that FaceID grants this case are used up, and none brought a result."
        " The decision says what it rests on instead: look at the case, and at why its reads fail."
    ),
    AlertKind.ATTACK_RATE: (
        "Unusually many decisions of this account name an attack (synthetic face, mask, screen replay, replaced face)."
        " They are refused as the policy says: look at who is being verified, and at where they come from."
    ),
    AlertKind.BAD_SIGNATURE_RATE: (
        "Unusually many callbacks of this account are signed by none of its secrets, and are set aside."
        " If FaceID's secret was changed, add it to FACEID_API_SECRETS and replay them; else somebody forges callbacks."
    ),
    AlertKind.DEAD_LETTERS_GROWING: (
        "The pipeline fails on more and more items. They wait among the dead letters:"
        " find the cause by `faceid dead list`, mend it, and replay them."
    ),
    AlertKind.BACKLOG_AGE: (
        "Callbacks wait too long to be worked on. Nothing is lost: look at `faceid status`, and start more workers,"
        " or mend what holds them up."
    ),
}


class Alert(BaseModel):
    """Something that a person has to know about; the `data` of an alert message.

    Members that a later version adds are ignored when it is read.
    """

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True, use_attribute_docstrings=True)

    kind: AlertKind
    account: AccountName | None
    """The FaceID account, by its name in the settings of the pipeline; null when it is about the whole pipeline."""
    biz_id: BizId | None
    """FaceID's id of the verification; null when it is about no single case."""
    message: str
    """What happened and what to do, in words."""
    detail: dict[str, Detail]
    """Facts by name; never personal data, never a secret."""
    at: Timestamp
    """When it happened."""

    @property
    def id(self) -> str:
        """The same for the same alert, on whatever machine: a repeat can be told by it."""
        return str(uuid5(_NAMESPACE, f"{self.account or ''}\n{self.kind}\n{self.biz_id}\n{self.at}"))

    @classmethod
    def of(cls, kind: AlertKind, account: str | None, at: float, biz_id: str | None = None, **detail: Detail) -> Self:
        """An alert in the words of its kind; `at` is in Unix seconds."""
        return cls(kind=kind, account=account, biz_id=biz_id, message=WORDS[kind], detail=detail, at=timestamp(at))
