"""The events as those who consume them may take them for granted; reading one here (`from_event`) asks for less."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from shared.events.alert import Alert
from shared.events.decision import BizId, Decision, EventId, Timestamp, promised

_ACCOUNT = "[A-Za-z0-9_-]{1,64}"


class DecisionEvent(BaseModel):
    """A decision as a CloudEvent 1.0 in structured JSON mode."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    specversion: Literal["1.0"]
    id: EventId
    """The same whenever this revision of this decision is sent: drop what you have handled."""
    type: Literal["faceid.decision.v1"]
    """What breaks this schema gets another type."""
    source: Annotated[str, promised(pattern=f"^faceid/{_ACCOUNT}$")]
    """`faceid/` and the account."""
    subject: BizId
    """The biz_id."""
    time: Timestamp
    """When it was decided."""
    datacontenttype: Literal["application/json"]
    dataschema: Literal["urn:faceid:decision:v1"]
    """The `$id` of the schema of `data`."""
    data: Decision


class AlertEvent(BaseModel):
    """An alert as a CloudEvent 1.0 in structured JSON mode."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    specversion: Literal["1.0"]
    id: EventId
    """The same whenever this alert is sent: drop what you have handled."""
    type: Literal["faceid.alert.v1"]
    """What breaks this schema gets another type."""
    source: Annotated[str, promised(pattern=f"^faceid(/{_ACCOUNT})?$")]
    """`faceid/` and the account; `faceid` alone where the alert is about the whole pipeline."""
    subject: BizId = Field(default_factory=str)
    """The biz_id; absent where the alert is about no single case."""
    time: Timestamp
    """When it happened."""
    datacontenttype: Literal["application/json"]
    dataschema: Literal["urn:faceid:alert:v1"]
    """The `$id` of the schema of `data`."""
    data: Alert
