"""The JSON Schemas (2020-12) of decisions and alerts and of their events, generated from the models."""

from typing import Any, Final

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema

from deploy.contract.events import AlertEvent, DecisionEvent
from shared.events.alert import Alert
from shared.events.cloudevent import ALERT_SCHEMA, DECISION_SCHEMA
from shared.events.decision import Decision

Schema = dict[str, Any]

SCHEMAS: Final[dict[str, tuple[type[BaseModel], str]]] = {
    "decision.v1": (Decision, DECISION_SCHEMA),
    "decision-event.v1": (DecisionEvent, "urn:faceid:decision-event:v1"),
    "alert.v1": (Alert, ALERT_SCHEMA),
    "alert-event.v1": (AlertEvent, "urn:faceid:alert-event:v1"),
}
"""The model and the `$id` of each schema, by name."""

_OPEN: Final = "v1 may get new members: ignore unknown ones."


class _Plain(GenerateJsonSchema):
    """pydantic's generator without a title for every member, which would repeat its name."""

    def field_title_should_be_set(self, schema: object) -> bool:
        return False


def schema(name: str) -> Schema:
    """The standalone schema of this name in `SCHEMAS`."""
    model, urn = SCHEMAS[name]
    generated = model.model_json_schema(mode="serialization", schema_generator=_Plain)
    return {"$schema": _Plain.schema_dialect, "$id": urn, "$comment": _OPEN, **generated}
