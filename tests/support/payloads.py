"""Payloads and requests made from the test vectors."""

import copy
import json
from secrets import token_hex
from typing import Any, Final
from urllib.parse import urlencode

from shared.messaging.envelope import Channel, Envelope, Method
from tests.support.paths import VECTORS
from workers.faceid.payload import Payload
from workers.faceid.verification import sign

SIGNATURES: Final[list[dict[str, Any]]] = json.loads((VECTORS / "signatures.json").read_text())
CALLBACKS: Final[dict[str, dict[str, Any]]] = json.loads((VECTORS / "callbacks.json").read_text())
OFFICIAL: Final = next(vector for vector in SIGNATURES if vector["name"] == "official-page-example")
SECRET: Final[str] = OFFICIAL["secret"]
BIZ_ID: Final = "1462259748,52b13fb5-8dfb-4537-a62b-a641d5e929f1"
ISSUED_AT: Final = 1462259748.0
"""Unix seconds, the beginning of `BIZ_ID`."""
FORM: Final = "application/x-www-form-urlencoded"

REMOVED: Final[Any] = object()


def changed(name: str, /, **changes: Any) -> dict[str, Any]:
    """The payload of the vector `name` with changes: `a__b=1` sets b in the part a, and `a=REMOVED` removes a."""
    payload = copy.deepcopy(CALLBACKS[name])
    for path, value in changes.items():
        *parents, last = path.split("__")
        part = payload
        for key in parents:
            part = part[key]
        if value is REMOVED:
            del part[last]
        else:
            part[last] = value
    return payload


def callback(name: str = "clean-pass", /, **changes: Any) -> Payload:
    """The same, parsed."""
    return Payload.from_json(json.dumps(changed(name, **changes)))


def new_envelope(
    account: str, channel: Channel, method: Method, body: bytes, content_type: str, query: str, received_at: float
) -> Envelope:
    """An envelope with a new id, as the ingress makes it."""
    return Envelope(token_hex(16), account, channel, method, received_at, body, content_type, query)


def posted(body: bytes, content_type: str = FORM) -> Envelope:
    """A notify POST as the ingress stores it."""
    return new_envelope("default", "notify", "POST", body, content_type, "", ISSUED_AT + 60.0)


def returned(query: str) -> Envelope:
    """A return GET as the ingress stores it."""
    return new_envelope("default", "return", "GET", b"", "", query, ISSUED_AT + 60.0)


def signed(data: bytes | str, secret: str = SECRET) -> Envelope:
    """A notify POST with a valid signature, as FaceID sends it."""
    raw = data.encode() if isinstance(data, str) else data
    return posted(urlencode({"data": raw, "sign": sign(secret, raw)}).encode())
