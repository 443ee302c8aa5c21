"""The AsyncAPI 3.0 document: the queues and topics of decisions and alerts on both brokers, and their schemas.

Its schemas are those of `schemas` converted to JSON Schema draft 7, which AsyncAPI 3.0 uses.
"""

import json
from collections.abc import Mapping
from typing import Any, Final

from deploy.contract.draft7 import draft7
from deploy.contract.schemas import Schema, schema
from shared.events.alert import AlertKind
from shared.events.cloudevent import CONTENT_TYPE, NO_ACCOUNT
from shared.events.decision import Outcome
from shared.messaging.topology import ALERTS, DECISIONS, queue_name
from shared.rabbit.topology import QUORUM

PREFIX: Final = "faceid"
_AMQP: Final = {"bindingVersion": "0.3.0"}
_SCHEMAS: Final = "#/components/schemas/"
_RETENTION: Final = 30 * 86_400_000
"""Milliseconds: the default of FACEID_RETENTION_DAYS."""
_HEADERS: Final[Schema] = {
    "description": "On RabbitMQ the headers of the message, on Redis the JSON in the entry's field `headers`.",
    "type": "object",
    "properties": {"ce-id": {"type": "string", "format": "uuid", "description": "The id of the event."}},
    "required": ["ce-id"],
}

_INFO: Final = {
    "title": "FaceID decisions",
    "version": "1.0.0",
    "description": (
        "The results of the FaceID callback pipeline: one decision for every verification, and alerts for the"
        " operator. Each is a CloudEvent 1.0 in structured JSON mode.\n\n"
        "Delivery is at least once. A repeat has the same id: drop an event whose id you have handled."
        " Ignore unknown members: v1 may get new ones.\n\n"
        "All names begin with the prefix in the settings of the pipeline, here its default, `faceid`."
        " The settings also say which broker has the results."
    ),
    "contact": {"name": "The operator of this pipeline"},
    "license": {"name": "MIT"},
}

_SERVERS: Final = {
    "rabbitmq": {
        "host": "rabbitmq.example:5672",
        "protocol": "amqp",
        "protocolVersion": "0-9-1",
        "description": (
            "RabbitMQ. Results are published to the durable topic exchange `faceid`. The quorum queues"
            " `faceid.decisions` and `faceid.alerts` are bound to it by `decision.#` and `alert.#`,"
            " and you may bind your own queues, for example with `decision.*.rejected`."
        ),
    },
    "redis": {
        "host": "redis.example:6379",
        "protocol": "redis",
        "description": (
            "Redis or Valkey Streams. An entry has the fields `body` (the event), `content_type`"
            " and `headers` (a JSON object). Read it with your own consumer group (XREADGROUP)."
        ),
    },
}


def asyncapi(examples: Mapping[str, bytes]) -> dict[str, Any]:
    """The document. `examples`: the golden messages by name."""
    return {
        "asyncapi": "3.0.0",
        "info": _INFO,
        "defaultContentType": CONTENT_TYPE,
        "servers": _SERVERS,
        "channels": {
            "decisions": _queue("decision", DECISIONS),
            "decisionsByTopic": _topic("decision", "outcome", [outcome.lower() for outcome in Outcome]),
            "alerts": _queue("alert", ALERTS),
            "alertsByTopic": _topic("alert", "kind", list(AlertKind)),
        },
        "operations": {
            "queueDecision": _send("decisions", "decision"),
            "publishDecision": _send("decisionsByTopic", "decision"),
            "queueAlert": _send("alerts", "alert"),
            "publishAlert": _send("alertsByTopic", "alert"),
        },
        "components": {
            "messages": {
                "decision": _message("decision", "DecisionEvent", examples),
                "alert": _message("alert", "AlertEvent", examples),
            },
            "schemas": {
                **_components("decision-event.v1"),
                **_components("alert-event.v1"),
                "Headers": _HEADERS,
            },
        },
    }


def _queue(noun: str, queue: str) -> dict[str, Any]:
    return {
        "address": queue_name(PREFIX, queue),
        "title": f"Every {noun}",
        "description": f"The quorum queue on RabbitMQ, or the stream on Redis, that holds every {noun}.",
        "servers": [{"$ref": f"#/servers/{name}"} for name in _SERVERS],
        "messages": {noun: {"$ref": f"#/components/messages/{noun}"}},
        "bindings": {
            "amqp": {
                "is": "queue",
                "queue": {
                    "name": queue_name(PREFIX, queue),
                    "durable": True,
                    "exclusive": False,
                    "autoDelete": False,
                    "arguments": dict(QUORUM),
                },
                **_AMQP,
            }
        },
    }


def _topic(noun: str, last: str, values: list[str]) -> dict[str, Any]:
    return {
        "address": f"{noun}.{{account}}.{{{last}}}",
        "title": f"Each {noun} by its account and {last}",
        "description": f"The routing keys on RabbitMQ. Bind your own queue to get some of the {noun}s.",
        "servers": [{"$ref": "#/servers/rabbitmq"}],
        "parameters": {
            "account": {"description": f"The account. `{NO_ACCOUNT}`: the {noun} has none.", "examples": ["default"]},
            last: {"description": f"The {last} of the {noun}.", "enum": values},
        },
        "messages": {noun: {"$ref": f"#/components/messages/{noun}"}},
        "bindings": {
            "amqp": {
                "is": "routingKey",
                "exchange": {"name": PREFIX, "type": "topic", "durable": True, "autoDelete": False},
                **_AMQP,
            }
        },
    }


def _send(channel: str, noun: str) -> dict[str, Any]:
    return {
        "action": "send",
        "title": f"Send each {noun}",
        "channel": {"$ref": f"#/channels/{channel}"},
        "messages": [{"$ref": f"#/channels/{channel}/messages/{noun}"}],
        "bindings": {"amqp": {"deliveryMode": 2, "expiration": _RETENTION, **_AMQP}},
    }


def _message(noun: str, title: str, examples: Mapping[str, bytes]) -> dict[str, Any]:
    chosen = {name: body for name, body in examples.items() if name.startswith(f"{noun}s/")}
    return {
        "name": noun,
        "title": title,
        "contentType": CONTENT_TYPE,
        "headers": {"$ref": f"{_SCHEMAS}Headers"},
        "payload": {"$ref": f"{_SCHEMAS}{title}"},
        "examples": [_example(name.partition("/")[2], json.loads(body)) for name, body in chosen.items()],
    }


def _example(name: str, payload: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "headers": {"ce-id": payload["id"]}, "payload": payload}


def _components(name: str) -> dict[str, Schema]:
    """A schema and its definitions, by name."""
    root = schema(name)
    definitions = root.pop("$defs") | {root["title"]: root}
    return {title: draft7(definition, _SCHEMAS) for title, definition in definitions.items()}
