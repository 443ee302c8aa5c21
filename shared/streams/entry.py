"""How a message stands in a stream, and how it is read from there whatever somebody wrote."""

import json as stdlib_json
from collections.abc import Mapping
from typing import Any, Final

from kombu.exceptions import DecodeError
from kombu.transport import virtual
from kombu.utils import json

from shared.streams.delivery import Delivery

UNDECODABLE: Final = "x-undecodable"
"""Header of a message that could not be read from its entry; it says why."""

DELIVERY_COUNT: Final = "x-delivery-count"
"""Header with the number of earlier deliveries, absent on the first, as RabbitMQ's quorum queues have it."""

_USUAL: Final = {"priority": 0, "delivery_mode": 2}
_KOMBU_TYPE: Final = '"__type__"'
"""How kombu marks a date, a UUID or bytes in JSON; without one the plain reader will do, in a tenth of the time."""
_to_json: Final = json.JSONEncoder().encode
_OURS: Final = frozenset({"body_encoding", "delivery_tag", "delivery_info"})


def entry_fields(message: Mapping[str, Any]) -> list[str | bytes]:
    """Names and values in turn for XADD, from kombu's dictionary of a message."""
    fields: list[str | bytes] = ["body", message["body"]]
    if content_type := message["content-type"]:
        fields += ("content_type", content_type)
    if (content_encoding := message["content-encoding"] or "utf-8") != "utf-8":
        fields += ("content_encoding", content_encoding)
    fields += ("headers", _to_json(message["headers"]))
    if properties := _worth_keeping(message["properties"]):
        fields += ("properties", _to_json(properties))
    return fields


def plain_fields(body: bytes, content_type: str, headers: bytes) -> tuple[str | bytes, ...]:
    """The same for a message that is no more than this; `headers` are JSON already."""
    kind = ("content_type", content_type) if content_type else ()
    return ("body", body, *kind, "headers", headers)


def _worth_keeping(properties: Mapping[str, Any]) -> dict[str, Any]:
    kept = {
        name: value
        for name, value in properties.items()
        if name not in _OURS and value is not None and _USUAL.get(name) != value
    }
    route = properties.get("delivery_info", {})
    if route.get("exchange"):
        kept["delivery_info"] = {"exchange": route["exchange"], "routing_key": route["routing_key"]}
    return kept


class Message(virtual.Message):
    """A message as it was read from its entry.

    One that cannot be read is handed on all the same: its `undecodable` is the error (and None otherwise), `decode`
    raises it, so that a consumer's `on_decode_error` is called, and the header `x-undecodable` says why. The body
    then is the field's raw bytes, or nothing when there is no such field.
    """

    def __init__(self, payload: Mapping[str, Any], channel: Any = None, **kwargs: Any) -> None:
        self.fields: dict[bytes, bytes] = payload["fields"]
        self.undecodable: Exception | None = payload["undecodable"]
        super().__init__(payload, channel=channel, **kwargs)  # type: ignore[no-untyped-call]
        if self.errors:
            # kombu found that the body does not decompress. Left in `errors` it would leave drain_events of a consumer
            # that looks at messages by itself.
            self.undecodable = DecodeError("body: does not decompress")
            self.headers[UNDECODABLE] = str(self.undecodable)
            self.body, self.errors = self.fields[b"body"], []

    def _decode(self) -> Any:
        if self.undecodable is not None:
            raise self.undecodable
        return super()._decode()  # type: ignore[no-untyped-call]


def payload_of(delivery: Delivery) -> dict[str, Any]:
    """What kombu makes a message of."""
    fields = dict(zip(delivery.fields[::2], delivery.fields[1::2], strict=True))
    undecodable: Exception | None = None
    try:
        payload = _readable(fields)
    except DecodeError as error:
        undecodable = error
        payload = {"body": fields.get(b"body", b""), "headers": {UNDECODABLE: str(error)}, "properties": {}}
    if delivery.earlier:
        payload["headers"][DELIVERY_COUNT] = delivery.earlier
    properties = payload["properties"]
    properties["delivery_tag"] = delivery.tag
    properties["delivery_info"] = {
        "exchange": "",
        "routing_key": delivery.queue,
        **properties.get("delivery_info", {}),
        "priority": properties.get("priority", 0),
        "redelivered": delivery.earlier > 0,
    }
    payload["fields"], payload["undecodable"] = fields, undecodable
    return payload


def _readable(fields: Mapping[bytes, bytes]) -> dict[str, Any]:
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
        "properties": {**_USUAL, **properties},
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
    except Exception:  # a stranger's JSON may fail as ValueError, as RecursionError or inside a type of kombu's
        raise DecodeError(f"{name.decode()}: not JSON") from None
    if not isinstance(value, dict):
        raise DecodeError(f"{name.decode()}: not a JSON object")
    return value
