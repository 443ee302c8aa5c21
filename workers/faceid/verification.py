"""The first stage's judgement: which case an arrival belongs to, and whether the vendor signed it."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, Self

from shared.messaging.envelope import Envelope
from workers.faceid import form, signature
from workers.faceid.payload import BIZ_ID, Callback, NotACallback
from workers.faceid.strict_json import NotStrictJson


class Unverified(Exception):
    """The arrival proves nothing. The only exception that leaves `verify`; `detail` names the rule, never a value."""

    def __init__(self, reason: Literal["bad_signature", "malformed"], detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Verified:
    """An arrival whose case is known."""

    biz_id: str
    callback: Callback | None
    """None for a GET return, which is not signed: a hint that something happened, never evidence."""
    data: str = field(repr=False)
    """The signed text; empty for a hint."""
    secret: int | None
    """Which of the account's secrets signed it, 0 being the newest; None for a hint."""

    def dump(self) -> bytes:
        """For the way through a queue."""
        return json.dumps({"biz_id": self.biz_id, "data": self.data, "secret": self.secret}).encode()

    @classmethod
    def load(cls, text: bytes) -> Self:
        """What `dump` wrote; the text is parsed once more."""
        raw = json.loads(text)
        callback = Callback.from_json(raw["data"]) if raw["data"] else None
        return cls(raw["biz_id"], callback, raw["data"], raw["secret"])


def verify(envelope: Envelope, secrets: Sequence[str]) -> Verified:
    """The judgement on one arrival; the signature is checked over the bytes before they are parsed.

    Raises:
        Unverified: `bad_signature`, or `malformed`: no form with one data and one sign, no strict JSON, no usable
            biz_id. Nothing else, whatever came in.
    """
    if envelope.method == "GET":
        return _hint(envelope.query)
    posted = _posted(envelope)
    secret = signature.match(secrets, posted.data, posted.sign)
    if secret is None:
        raise Unverified("bad_signature", "no secret of the account gives this signature")
    try:
        callback = Callback.from_json(posted.data)
    except (NotStrictJson, NotACallback) as error:
        raise Unverified("malformed", f"the field data is {error}") from None
    return Verified(callback.biz_id, callback, posted.data.decode(), secret)


def _posted(envelope: Envelope) -> form.SignedForm:
    try:
        return form.fields(envelope.content_type, envelope.body)
    except form.NotAForm as error:
        raise Unverified("malformed", str(error)) from None


def _hint(query: str) -> Verified:
    """The biz_id that the vendor appends to the return URL, beside its own parameters (official page, Callbacks)."""
    parameters = query.partition("#")[0].split("&")
    values = [value for name, _, value in (part.partition("=") for part in parameters) if name == "biz_id"]
    if len(values) != 1:
        raise Unverified("malformed", f"the parameter biz_id is {'doubled' if values else 'missing'}")
    try:
        biz_id = form.unquote(values[0].encode()).decode()
    except ValueError:
        raise Unverified("malformed", "the parameter biz_id is not percent-encoded UTF-8") from None
    if not BIZ_ID.fullmatch(biz_id):
        raise Unverified("malformed", "the parameter biz_id is not 1 to 128 printable ASCII characters")
    return Verified(biz_id, None, "", None)
