"""Write a message as a stream entry, and read a message from an entry, whatever its bytes are."""

import json as stdlib_json
from collections.abc import Mapping
from typing import Any, Final

from kombu.exceptions import DecodeError
from kombu.transport import virtual
from kombu.utils import json

from shared.streams.delivery import Delivery

UNDECODABLE: Final = "x-undecodable"
"""Header of a message whose entry could not be decoded. Its value says why."""

DELIVERY_COUNT: Final = "x-delivery-count"
"""Header with the number of earlier deliveries. Absent on the first, as with RabbitMQ's quorum queues."""

_DEFAULT_PROPERTIES: Final = {"priority": 0, "delivery_mode": 2}
_KOMBU_TYPE: Final = '"__type__"'
"""Marks a date, a UUID or bytes in kombu's JSON. Text without it is read by json.loads, ten times as fast."""
_to_json: Final = json.JSONEncoder().encode
_PER_DELIVERY: Final = frozenset({"body_encoding", "delivery_tag", "delivery_info"})


def entry_fields(message: Mapping[str, Any]) -> list[str | bytes]:
    """The field names and values for XADD, in turn, of a kombu message dictionary."""
    fields: list[str | bytes] = ["body", message["body"]]
    if content_type := message["content-type"]:
        fields += ("content_type", content_type)
    if (content_encoding := message["content-encoding"] or "utf-8") != "utf-8":
        fields += ("content_encoding", content_encoding)
    fields += ("headers", _to_json(message["headers"]))
    if properties := _stored_properties(message["properties"]):
        fields += ("properties", _to_json(properties))
    return fields


def plain_fields(body: bytes, content_type: str, headers: bytes) -> tuple[str | bytes, ...]:
    """The field names and values for XADD of a message without other properties. `headers` is JSON."""
    kind = ("content_type", content_type) if content_type else ()
    return ("body", body, *kind, "headers", headers)


def _stored_properties(properties: Mapping[str, Any]) -> dict[str, Any]:
    stored = {
        name: value
        for name, value in properties.items()
        if name not in _PER_DELIVERY and value is not None and _DEFAULT_PROPERTIES.get(name) != value
    }
    route = properties.get("delivery_info", {})
    if route.get("exchange"):
        stored["delivery_info"] = {"exchange": route["exchange"], "routing_key": route["routing_key"]}
    return stored


class Message(virtual.Message):
    """A kombu message that was read from a stream entry.

    A message that can't be decoded is delivered too. Its `undecodable` is the error (otherwise None). `decode` raises
    that error, so kombu calls the consumer's `on_decode_error`. The header `x-undecodable` says why. The body is then
    the raw bytes of the field `body`, or empty when there is no such field.
    """

    def __init__(self, payload: Mapping[str, Any], channel: Any = None, **kwargs: Any) -> None:
        self.fields: dict[bytes, bytes] = payload["fields"]
        self.undecodable: Exception | None = payload["undecodable"]
        super().__init__(payload, channel=channel, **kwargs)  # type: ignore[no-untyped-call]
        if self.errors:
            # kombu could not decompress the body. It raises what is in `errors` from drain_events when the consumer
            # has no `on_decode_error`.
            self.undecodable = DecodeError("body: does not decompress")
            self.headers[UNDECODABLE] = str(self.undecodable)
            self.body, self.errors = self.fields[b"body"], []

    def _decode(self) -> Any:
        if self.undecodable is not None:
            raise self.undecodable
        return super()._decode()  # type: ignore[no-untyped-call]


def payload_of(delivery: Delivery) -> dict[str, Any]:
    """The dictionary from which kombu makes the message of a delivery."""
    fields = dict(zip(delivery.fields[::2], delivery.fields[1::2], strict=True))
    undecodable: Exception | None = None
    try:
        payload = _decoded(fields)
    except DecodeError as error:
        undecodable = error
        payload = {"body": fields.get(b"body", b""), "headers": {UNDECODABLE: str(error)}, "properties": {}}
    if delivery.delivery_count:
        payload["headers"][DELIVERY_COUNT] = delivery.delivery_count
    properties = payload["properties"]
    properties["delivery_tag"] = delivery.tag
    properties["delivery_info"] = {
        "exchange": "",
        "routing_key": delivery.queue,
        **properties.get("delivery_info", {}),
        "priority": properties.get("priority", 0),
        "redelivered": delivery.delivery_count > 0,
    }
    payload["fields"], payload["undecodable"] = fields, undecodable
    return payload


def _decoded(fields: Mapping[bytes, bytes]) -> dict[str, Any]:
    if b"body" not in fields:
        raise DecodeError("body: missing")
    headers, properties = _object(fields, b"headers"), _object(fields, b"properties")
    for name in (UNDECODABLE, DELIVERY_COUNT):
        headers.pop(name, None)
    for name in ("delivery_tag", "body_encoding"):
        properties.pop(name, None)
    if not isinstance(properties.get("delivery_info", {}), dict):
        raise DecodeError("properties: delivery_info is not an object")
    return {
        "body": fields[b"body"],
        "content-type": _text(fields, b"content_type"),
        "content-encoding": _text(fields, b"content_encoding") or "utf-8",
        "headers": headers,
        "properties": {**_DEFAULT_PROPERTIES, **properties},
    }


def _text(fields: Mapping[bytes, bytes], name: bytes) -> str | None:
    try:
        return fields[name].decode() if name in fields else None
    except UnicodeDecodeError:
        raise DecodeError(f"{name.decode()}: not UTF-8") from None


def _object(fields: Mapping[bytes, bytes], name: bytes) -> dict[str, Any]:
    if name not in fields:
        return {}
    try:
        text = fields[name].decode()
        value = json.loads(text) if _KOMBU_TYPE in text else stdlib_json.loads(text)
    except Exception:  # invalid JSON may raise ValueError, RecursionError, or any error of kombu's types
        raise DecodeError(f"{name.decode()}: not JSON") from None
    if not isinstance(value, dict):
        raise DecodeError(f"{name.decode()}: not a JSON object")
    return value
