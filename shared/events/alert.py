"""An alert: an event that a person has to know about. It is published beside the decisions."""

from enum import StrEnum
from typing import Final, Self
from uuid import UUID, uuid5

from pydantic import BaseModel, ConfigDict

from shared.events.decision import AccountName, BizId, Timestamp, timestamp

Detail = str | float | None

_NAMESPACE: Final = UUID("0d2f3a86-6a57-5a4b-8a0c-1f5f4f0f9b7d")


class AlertKind(StrEnum):
    """What happened. It is the last part of the routing key on RabbitMQ."""

    EVIDENCE_CONFLICT = "evidence_conflict"
    DECISION_SUPERSEDED = "decision_superseded"
    DATA_SOURCE_ERROR = "data_source_error"
    BREAKER_OPENED = "breaker_opened"
    BREAKER_CLOSED = "breaker_closed"
    BUDGET_SPENT = "budget_spent"
    ATTACK_RATE = "attack_rate"
    BAD_SIGNATURE_RATE = "bad_signature_rate"
    DEAD_LETTERS_GROWING = "dead_letters_growing"
    DEAD_LETTERS_EXPIRING = "dead_letters_expiring"
    BACKLOG_AGE = "backlog_age"
    MEMORY = "memory"
    LEDGER_LOST = "ledger_lost"
    SETTLEMENT_REFUSED = "settlement_refused"
    CLOCK_SKEW = "clock_skew"


MESSAGES: Final[dict[AlertKind, str]] = {
    AlertKind.EVIDENCE_CONFLICT: (
        "Signed evidence that came later contradicts earlier evidence. An approval is superseded by REVIEW,"
        " any other decision stays in force. Check the case."
    ),
    AlertKind.DECISION_SUPERSEDED: (
        "A decision was replaced by one with a different outcome, because better evidence came or because an operator"
        " decided it again. Act on the new decision. The case says who replaced it, when and why."
    ),
    AlertKind.DATA_SOURCE_ERROR: (
        "FaceID reports DATA_SOURCE_ERROR."
        " FaceID's documents demand: stop the service, contact FaceID, and wait until it is fixed."
    ),
    AlertKind.BREAKER_OPENED: (
        "Every GetResult call of this account fails, so reading pauses. Callbacks are still stored, and none is lost."
        " Fix the cause: key, secret, base URL, quota or network. Reading then starts again without further action."
    ),
    AlertKind.BREAKER_CLOSED: "GetResult answers again, and reading has started again. Nothing has to be done.",
    AlertKind.BUDGET_SPENT: (
        "The GetResult reads that FaceID allows for this case are used up, and none returned a result."
        " The decision says what it is based on instead. Check the case, and find out why its reads failed."
    ),
    AlertKind.ATTACK_RATE: (
        "Unusually many decisions of this account name an attack (synthetic face, mask, screen replay, replaced face)."
        " They are decided as the policy says. Check who is being verified, and where the requests come from."
    ),
    AlertKind.BAD_SIGNATURE_RATE: (
        "Unusually many callbacks of this account have an invalid signature. They are kept as unverified."
        " If FaceID's secret was changed, add it to FACEID_API_SECRETS and replay them. Else they are forged."
    ),
    AlertKind.DEAD_LETTERS_GROWING: (
        "Many items have become dead letters. Find the cause with `faceid dead list`, fix it, and replay them."
    ),
    AlertKind.DEAD_LETTERS_EXPIRING: (
        "The oldest dead letters will soon be deleted, since they are almost as old as FACEID_RETENTION_DAYS. Their"
        " callbacks are then lost. List them with `faceid dead list`, fix the cause, and replay or drop them."
    ),
    AlertKind.SETTLEMENT_REFUSED: (
        "Redis or a broker refuses to store what the pipeline made of a message: mostly a key has a wrong type."
        " The message is a dead letter with the reason `error`. Find the key, fix it, and replay the message."
    ),
    AlertKind.BACKLOG_AGE: (
        "Callbacks wait too long in a queue. None is lost. Check `faceid status`, and start more workers or fix what"
        " slows them down."
    ),
    AlertKind.MEMORY: (
        "The ledger's Redis is nearly full. Callbacks are refused with 503 when they could not be decided any more, and"
        " none that was accepted is lost. Have consumers read the results, raise maxmemory, or shorten the retention."
    ),
    AlertKind.CLOCK_SKEW: (
        "The clock of Redis and that of a worker's machine differ by more than 30 seconds, so one of them is wrong."
        " While they do, that worker deletes nothing for its age. Synchronise both machines with NTP."
    ),
    AlertKind.LEDGER_LOST: (
        "Redis has lost its cases, or is another Redis than before. Cases that arrive again are decided again, and"
        " their GetResult reads are counted from zero. Find out who emptied or replaced it, and restore its data."
    ),
}


class Alert(BaseModel):
    """An event that a person has to know about. It is the `data` of an alert message.

    Unknown members are ignored: a later version may add some.
    """

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True, use_attribute_docstrings=True)

    kind: AlertKind
    account: AccountName | None
    """Name of the FaceID account in the settings of the pipeline. Null: the alert is about the whole pipeline."""
    biz_id: BizId | None
    """FaceID's id of the verification. Null: the alert is not about a single case."""
    message: str
    """What happened and what to do, for a person."""
    detail: dict[str, Detail]
    """Details by name. They contain no personal data and no secrets."""
    at: Timestamp
    """When it happened."""

    @property
    def id(self) -> str:
        """The id of the event. The same alert has the same id on every machine, so a repeat can be recognised."""
        return str(uuid5(_NAMESPACE, f"{self.account or ''}\n{self.kind}\n{self.biz_id}\n{self.at}"))

    @classmethod
    def of(cls, kind: AlertKind, account: str | None, at: float, biz_id: str | None = None, **detail: Detail) -> Self:
        """An alert with the message of its kind. `at`: when it happened, in Unix seconds."""
        return cls(kind=kind, account=account, biz_id=biz_id, message=MESSAGES[kind], detail=detail, at=timestamp(at))
