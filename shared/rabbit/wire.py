"""A post as a message of AMQP, and back."""

import json
from time import time
from typing import Any, Final

from shared.messaging.message import Message

PERSISTENT: Final = 2
LONGEST_TYPE: Final = 255
"""Bytes of a content type; AMQP's short strings hold no more."""
MOST_HEADERS: Final = 32_000
"""Characters of the headers: all properties must fit into one frame, which is of 128 KB as RabbitMQ has it."""
WIDE: Final = "wide"
"""Type of a message that carries its headers and its content type as a line of JSON in front of its body."""

Parts = tuple[dict[str, str | int | float], str, bytes]
"""Headers, content type and body."""


def outgoing(channel: Any, message: Message, lifetime: int | None) -> Any:
    """The message that carries a post; `lifetime` in milliseconds, None for ever."""
    properties: dict[str, Any] = {"delivery_mode": PERSISTENT, "timestamp": int(time())}
    if lifetime is not None:
        properties["expiration"] = str(lifetime)
    body, content_type, headers = message.body, message.content_type, dict(message.headers)
    if _is_wide(message):
        body = json.dumps({"content_type": content_type, "headers": headers}).encode() + b"\n" + body
        content_type, headers = "", {}
        properties["type"] = WIDE
    return channel.prepare_message(body, content_type=content_type or None, headers=headers, properties=properties)


def incoming(message: Any) -> Parts:
    """What a message carries, whoever has published it; of its headers those that are plain text or numbers."""
    properties = message.properties
    body = message.body or b""  # py-amqp has "" where there is none
    if properties.get("type") == WIDE:
        try:
            head, _, rest = body.partition(b"\n")
            parts = json.loads(head)
            return _plain(parts["headers"]), str(parts["content_type"]), rest
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return {}, "", body  # somebody else's
    return _plain(properties.get("application_headers") or {}), properties.get("content_type") or "", body


def _is_wide(message: Message) -> bool:
    if len(message.content_type.encode(errors="surrogatepass")) > LONGEST_TYPE:
        return True
    return sum(len(value) for value in message.headers.values() if isinstance(value, str)) > MOST_HEADERS


def _plain(headers: dict[Any, Any]) -> dict[str, str | int | float]:
    return {
        name: value for name, value in headers.items() if isinstance(name, str) and isinstance(value, str | int | float)
    }
