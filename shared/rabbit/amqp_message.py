"""Between our messages and those of py-amqp."""

import json
from time import time
from typing import Any, Final

from shared.messaging.message import Message

PERSISTENT: Final = 2
MAX_CONTENT_TYPE: Final = 255
"""Bytes of a content type: the limit of AMQP's short strings."""
MAX_HEADERS: Final = 32_000
"""Characters of all headers: the properties must fit into one frame, which is 128 KB by RabbitMQ's default."""
WIDE: Final = "wide"
"""Type of a message whose headers and content type are a line of JSON in front of its body, as they are too long."""

Parts = tuple[dict[str, str | int | float], str, bytes]
"""Headers, content type and body."""


def to_amqp(channel: Any, message: Message, lifetime: int | None) -> Any:
    """The message for py-amqp to publish. It expires after `lifetime` milliseconds; None: never."""
    properties: dict[str, Any] = {"delivery_mode": PERSISTENT, "timestamp": int(time())}
    if lifetime is not None:
        properties["expiration"] = str(lifetime)
    body, content_type, headers = message.body, message.content_type, dict(message.headers)
    if _is_wide(message):
        body = json.dumps({"content_type": content_type, "headers": headers}).encode() + b"\n" + body
        content_type, headers = "", {}
        properties["type"] = WIDE
    return channel.prepare_message(body, content_type=content_type or None, headers=headers, properties=properties)


def from_amqp(message: Any) -> Parts:
    """The parts of a received message, from any publisher. Leaves out headers that are neither text nor numbers."""
    properties = message.properties
    body = message.body or b""  # py-amqp has "" where there is none
    if properties.get("type") == WIDE:
        try:
            head, _, rest = body.partition(b"\n")
            parts = json.loads(head)
            return _plain(parts["headers"]), str(parts["content_type"]), rest
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return {}, "", body  # not published by us
    return _plain(properties.get("application_headers") or {}), properties.get("content_type") or "", body


def _is_wide(message: Message) -> bool:
    if len(message.content_type.encode(errors="surrogatepass")) > MAX_CONTENT_TYPE:
        return True
    return sum(len(value) for value in message.headers.values() if isinstance(value, str)) > MAX_HEADERS


def _plain(headers: dict[Any, Any]) -> dict[str, str | int | float]:
    return {
        name: value for name, value in headers.items() if isinstance(name, str) and isinstance(value, str | int | float)
    }
