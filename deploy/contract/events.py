"""The events as consumers receive them. `from_event` accepts more than these models say."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from shared.events.alert import Alert
from shared.events.decision import BizId, Decision, EventId, Timestamp, schema_keywords

_ACCOUNT = "[A-Za-z0-9_-]{1,64}"


class DecisionEvent(BaseModel):
    """A decision as a CloudEvent 1.0 in structured JSON mode."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    specversion: Literal["1.0"]
    id: EventId
    """The event id. It is the same each time that this revision is sent: drop an event whose id you have handled."""
    type: Literal["faceid.decision.v1"]
    """The event type. An incompatible schema gets another type."""
    source: Annotated[str, schema_keywords(pattern=f"^faceid/{_ACCOUNT}$")]
    """`faceid/` and the account."""
    subject: BizId
    """The biz_id."""
    time: Timestamp
    """When the decision was made."""
    datacontenttype: Literal["application/json"]
    dataschema: Literal["urn:faceid:decision:v1"]
    """The `$id` of the schema of `data`."""
    data: Decision


class AlertEvent(BaseModel):
    """An alert as a CloudEvent 1.0 in structured JSON mode."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    specversion: Literal["1.0"]
    id: EventId
    """The event id. It is the same each time that this alert is sent: drop an event whose id you have handled."""
    type: Literal["faceid.alert.v1"]
    """The event type. An incompatible schema gets another type."""
    source: Annotated[str, schema_keywords(pattern=f"^faceid(/{_ACCOUNT})?$")]
    """`faceid/` and the account. Only `faceid`: the alert is about the whole pipeline."""
    subject: BizId = Field(default_factory=str)
    """The biz_id. Absent: the alert is not about a single case."""
    time: Timestamp
    """When it happened."""
    datacontenttype: Literal["application/json"]
    dataschema: Literal["urn:faceid:alert:v1"]
    """The `$id` of the schema of `data`."""
    data: Alert
