"""Verify what arrives: whether FaceID signed it, and which case it belongs to.

FaceID signs a callback with `sign = sha1(API_SECRET + data)`, as lower-case hex (FaceID's callback page). That is plain
concatenation, not an HMAC: who has seen one valid pair of `data` and `sign` can append bytes to `data` and compute the
`sign` of the longer text (length extension). So a matching signature alone proves nothing. The text must also be one
strict JSON document, which a text with appended bytes never is.
"""

import hashlib
import hmac
import json
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Final, Literal, Self

from msgspec import Struct

from shared.messaging.envelope import Envelope
from workers.faceid import form
from workers.faceid.payload import BIZ_ID, InvalidPayload, Payload
from workers.faceid.strict_json import NotStrictJson

MAX_CLOCK_DIFFERENCE: Final = 3600.0
"""Seconds that FaceID's clock may be ahead of the ingress's."""
_SIGNATURE: Final = re.compile("[0-9a-f]{40}")


class Unverified(Exception):
    """An arrival that proves nothing. `detail` names the rule that it breaks, never a value of the request."""

    def __init__(self, reason: Literal["bad_signature", "malformed", "stale"], detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class VerifiedArrival(Struct, frozen=True):
    """What `verify` hands to `reconcile`: a signed callback, or an unsigned return."""

    biz_id: str
    callback: Payload | None
    """The signed payload. None for an unsigned return (GET), which says that something happened but proves nothing."""
    data: str
    """The signed text; empty for an unsigned return."""
    secret: int | None
    """Index of the secret that signed it, 0 for the newest; None for an unsigned return."""

    def __repr__(self) -> str:
        return f"<VerifiedArrival {self.biz_id}>"  # the signed text is personal data

    def dump(self) -> bytes:
        """The body of a message, as JSON."""
        return json.dumps({"biz_id": self.biz_id, "data": self.data, "secret": self.secret}).encode()

    @classmethod
    def load(cls, body: bytes) -> Self:
        """Read what `dump` wrote; parses the signed text again."""
        record = json.loads(body)
        callback = Payload.from_json(record["data"]) if record["data"] else None
        return cls(record["biz_id"], callback, record["data"], record["secret"])


def verify(envelope: Envelope, secrets: Sequence[str]) -> VerifiedArrival:
    """Verify one arrival with the secrets of its account.

    The signature is checked over the raw bytes before they are parsed as JSON.

    Raises:
        Unverified: `bad_signature`, or `malformed`: the body is no form with one `data` and one `sign`, or `data` is
            no strict JSON or has no valid biz_id. No request raises anything else.
    """
    if envelope.method == "GET":
        return _unsigned_return(envelope.query)
    try:
        posted = form.parse(envelope.content_type, envelope.body)
    except form.InvalidForm as error:
        raise Unverified("malformed", str(error)) from None
    secret = match_secret(secrets, posted.data, posted.sign)
    if secret is None:
        raise Unverified("bad_signature", "no secret of the account gives this signature")
    try:
        callback = Payload.from_json(posted.data)
    except (NotStrictJson, InvalidPayload) as error:
        raise Unverified("malformed", f"the field data: {error}") from None
    return VerifiedArrival(callback.biz_id, callback, posted.data.decode(), secret)


def check_age(biz_id: str, received_at: float, retention: float) -> None:
    """Refuse an arrival whose case may have expired: its callback would be decided a second time.

    FaceID begins a biz_id with the time when it was issued. Without such a time the age is not known, and the arrival
    is accepted. FaceID's signature has no time of its own, so a signed callback can be posted again at any time.

    Args:
        biz_id: The case.
        received_at: When the ingress got the request, in unix seconds.
        retention: Seconds that a case is kept.

    Raises:
        Unverified: `stale`: the biz_id is older than `retention`, or more than an hour in the future.
    """
    issued_at = issue_time(biz_id)
    if issued_at is None:
        return
    if received_at - issued_at > retention:
        raise Unverified("stale", "the biz_id is older than a case is kept")
    if issued_at - received_at > MAX_CLOCK_DIFFERENCE:
        raise Unverified("stale", "the biz_id is from the future")


def issue_time(biz_id: str) -> float | None:
    """The unix seconds at the beginning of a biz_id; None where it does not begin with a time."""
    seconds = biz_id.partition(",")[0]
    return float(seconds) if seconds.isascii() and seconds.isdigit() and len(seconds) <= 12 else None


def sign(secret: str, data: bytes) -> str:
    """The signature of `data`: 40 lower-case hex digits."""
    digest = _keyed(secret).copy()
    digest.update(data)
    return digest.hexdigest()


@lru_cache(maxsize=64)
def _keyed(secret: str) -> "hashlib._Hash":
    return hashlib.sha1(secret.encode(), usedforsecurity=False)


def match_secret(secrets: Sequence[str], data: bytes, signature: str) -> int | None:
    """Index of the first secret that gives this signature of `data`, or None.

    Every secret is tried, and each comparison takes constant time. An empty secret never matches, because anybody could
    sign with it.
    """
    if not _SIGNATURE.fullmatch(signature):
        return None
    matches = [hmac.compare_digest(sign(secret, data), signature) and secret != "" for secret in secrets]
    return matches.index(True) if any(matches) else None


def _unsigned_return(query: str) -> VerifiedArrival:
    """The case of a GET return: FaceID appends `biz_id` to the return URL's own parameters (FaceID's callback page)."""
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
    return VerifiedArrival(biz_id, None, "", None)
