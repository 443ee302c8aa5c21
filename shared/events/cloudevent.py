"""Write and read decisions and alerts as CloudEvents 1.0 in structured JSON mode.

They are not written with the CloudEvents SDK, which takes five times as long. The tests read them with the SDK.
"""

from typing import Annotated, Final, Literal, Protocol

import msgspec
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter
from pydantic_core import to_json

from shared.events.alert import Alert
from shared.events.decision import Decision, Outcome
from shared.messaging.message import Message
from shared.messaging.topology import ALERTS, DECISIONS, queue_name

CONTENT_TYPE: Final = "application/cloudevents+json"
DECISION_TYPE: Final = "faceid.decision.v1"
ALERT_TYPE: Final = "faceid.alert.v1"
SOURCE: Final = "faceid"
NO_ACCOUNT: Final = "_"
"""Replaces the account in the routing key of an alert about the whole pipeline. No account may have this name."""
DECISION_SCHEMA: Final = "urn:faceid:decision:v1"
ALERT_SCHEMA: Final = "urn:faceid:alert:v1"


class DecisionFields(Protocol):
    """The fields of a decision that its event and its routing key name. `Decision` has them."""

    @property
    def id(self) -> str:
        """The id of the event."""

    @property
    def account(self) -> str:
        """The name of the FaceID account."""

    @property
    def biz_id(self) -> str:
        """FaceID's id of the verification."""

    @property
    def outcome(self) -> Outcome:
        """The outcome."""

    @property
    def decided_at(self) -> str:
        """When the decision was made."""


def to_event(message: DecisionFields | Alert, data: bytes | None = None) -> bytes:
    """The event of a decision or an alert. The same message gives the same bytes.

    `data`: the message as JSON. It may be left out for a `Decision` or an `Alert`.
    """
    if isinstance(message, Alert):
        kind, schema, time = ALERT_TYPE, ALERT_SCHEMA, message.at
    else:
        kind, schema, time = DECISION_TYPE, DECISION_SCHEMA, message.decided_at
    event = {
        "specversion": "1.0",
        "id": message.id,
        "type": kind,
        "source": SOURCE if message.account is None else f"{SOURCE}/{message.account}",
        "subject": message.biz_id,
        "time": time,
        "datacontenttype": "application/json",
        "dataschema": schema,
    }
    if message.biz_id is None:
        del event["subject"]
    return _encode(event)[:-1] + b',"data":' + (data or to_json(message)) + b"}"


def to_message(message: DecisionFields | Alert, prefix: str, data: bytes | None = None) -> Message:
    """The message for the results queue. `data`: as in `to_event`."""
    return Message(
        queue=queue_name(prefix, ALERTS if isinstance(message, Alert) else DECISIONS),
        body=to_event(message, data),
        content_type=CONTENT_TYPE,
        headers={"ce-id": message.id},
        topic=topic(message),
    )


def topic(message: DecisionFields | Alert) -> str:
    """The routing key: `decision.ACCOUNT.OUTCOME` in lower case, or `alert.ACCOUNT.KIND`; `_` without account."""
    if isinstance(message, Alert):
        return f"alert.{message.account or NO_ACCOUNT}.{message.kind}"
    return f"decision.{message.account}.{message.outcome.lower()}"


def from_event(body: bytes | str) -> Decision | Alert:
    """Read the decision or alert of an event.

    Raises:
        pydantic.ValidationError: The bytes are not an event of this type and version. It is a ValueError and quotes no
            values.
    """
    return _EVENT.validate_json(body).data


class _Event(BaseModel):
    model_config = ConfigDict(hide_input_in_errors=True)

    specversion: Literal["1.0"]
    id: str
    source: str


class _DecisionEvent(_Event):
    type: Literal["faceid.decision.v1"]
    data: Decision


class _AlertEvent(_Event):
    type: Literal["faceid.alert.v1"]
    data: Alert


_EVENT: Final[TypeAdapter[_DecisionEvent | _AlertEvent]] = TypeAdapter(
    Annotated[_DecisionEvent | _AlertEvent, Field(discriminator="type")]
)
_encode: Final = msgspec.json.Encoder().encode
