"""The AsyncAPI 3.0 document: where decisions and alerts are found on either broker, and what they look like.

Its schemas are ours in JSON Schema draft 7, which is what AsyncAPI 3.0 is made of.
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
        "What the FaceID callback pipeline says to those who consume its results: one decision for every"
        " verification, and alerts that a person has to know of. Each is a CloudEvent 1.0 in structured JSON mode.\n\n"
        "Delivery is at least once: a repeat bears the same id, so drop what you have handled."
        " Ignore members that you don't know: they may be added within v1.\n\n"
        "Names begin with the prefix that is set for the pipeline, here its default, `faceid`."
        " The results may be on either broker; which one is a setting too."
    ),
    "contact": {"name": "Whoever runs this pipeline for you"},
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
            " and you may bind queues of your own, such as by `decision.*.rejected`."
        ),
    },
    "redis": {
        "host": "redis.example:6379",
        "protocol": "redis",
        "description": (
            "Redis or Valkey, with Streams. An entry has the fields `body` (the event), `content_type`,"
            " `content_encoding` and `headers` (a JSON object). Read it with a consumer group of your own (XREADGROUP)."
        ),
    },
}


def asyncapi(examples: Mapping[str, bytes]) -> dict[str, Any]:
    """The document; `examples` are the golden messages by their name."""
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
        "title": f"Each {noun} by what it says",
        "description": f"The routing keys on RabbitMQ. Bind a queue of your own to have some of the {noun}s.",
        "servers": [{"$ref": "#/servers/rabbitmq"}],
        "parameters": {
            "account": {"description": f"The account; `{NO_ACCOUNT}` for none.", "examples": ["default"]},
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
    """A schema and all that it refers to, by name."""
    whole = schema(name)
    definitions = whole.pop("$defs") | {whole["title"]: whole}
    return {title: draft7(definition, _SCHEMAS) for title, definition in definitions.items()}
