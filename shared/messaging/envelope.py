"""The envelope: a callback, or what a stage has made of it, with where it came from."""

from collections.abc import Mapping
from math import isfinite
from types import MappingProxyType
from typing import Any, Final, Literal, Self, get_args

from msgspec import Struct
from msgspec.structs import replace

from shared.messaging.errors import Undecodable
from shared.messaging.message import ENVELOPE_VERSION, FIELD, Message, check_version

Channel = Literal["notify", "return"]
Method = Literal["POST", "GET"]
CHANNELS: Final = get_args(Channel)
METHODS: Final = get_args(Method)
JSON: Final = "application/json"
KNOWN: Final = frozenset({"id", "account", "channel", "method", "received_at", "query", "attempts", "biz_id", FIELD})
"""The headers of an envelope."""
_NONE: Final[Mapping[str, str | int | float]] = MappingProxyType({})


class Envelope(Struct, frozen=True):
    """One item on its way through the stages.

    The `body` is the stage's input: for `verify` the bytes of the request's body, later the JSON that the stage before
    has made. From the ingress to the decision only `body`, `content_type`, `query`, `attempts` and `biz_id` change.
    """

    id: str
    """Idempotency key, made by the ingress. A repeated message has the same one."""
    account: str
    channel: Channel
    method: Method
    received_at: float
    """When the ingress got the request: Unix seconds, by the clock of the ledger's Redis."""
    body: bytes
    content_type: str = ""
    query: str = ""
    """The raw query string of the request, without `?`. Empty after `verify`."""
    attempts: int = 0
    """Failed attempts of the current stage."""
    biz_id: str = ""
    """Empty before `verify` has read it."""
    others: Mapping[str, str | int | float] = {}
    """Headers that this version does not know. They stay on the item."""

    def __repr__(self) -> str:
        """Without the body and the query, which hold personal data."""
        return f"<Envelope {self.id} {self.account} {self.channel} {self.biz_id}>"

    @classmethod
    def read(cls, headers: Mapping[str, Any], content_type: str, body: bytes) -> Self:
        """The envelope in a message. Raises `Undecodable`."""
        check_version(headers, ENVELOPE_VERSION)
        try:
            return cls(
                id=_text(headers, "id"),
                account=_text(headers, "account"),
                channel=_one_of(headers, "channel", CHANNELS),
                method=_one_of(headers, "method", METHODS),
                received_at=_seconds(headers),
                body=body,
                content_type=content_type,
                query=str(headers.get("query", "")),
                attempts=int(headers.get("attempts", 0)),
                biz_id=_text(headers, "biz_id") if headers.get("biz_id") else "",
                others=_others(headers),
            )
        except Undecodable:
            raise
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise Undecodable(f"headers: received_at or attempts is no number ({type(error).__name__})") from None

    def advanced(self, body: bytes, biz_id: str) -> "Envelope":
        """The same item for the next stage: with a new body and no failed attempts.

        The query is dropped: only `verify` reads it, and it may be long.
        """
        return replace(self, body=body, biz_id=biz_id, content_type=JSON, query="", attempts=0)

    def to_message(self, queue: str) -> Message:
        """The message that carries this envelope."""
        headers: dict[str, str | int | float] = {
            "id": self.id,
            "account": self.account,
            "channel": self.channel,
            "method": self.method,
            "received_at": self.received_at,
        }
        for name in ("query", "attempts", "biz_id"):
            if value := getattr(self, name):
                headers[name] = value
        if self.others:
            headers = {**self.others, **headers}
        return Message(queue, self.body, self.content_type, headers)


def _text(headers: Mapping[str, Any], name: str) -> str:
    value = headers.get(name)
    if not isinstance(value, str) or not value:
        raise Undecodable(f"headers: {name} is missing")
    if not value.isprintable():  # a lone surrogate could go into no key of the ledger
        raise Undecodable(f"headers: {name} is no plain text")
    return value


def _seconds(headers: Mapping[str, Any]) -> float:
    value = float(headers["received_at"])
    if not isfinite(value):
        raise Undecodable("headers: received_at is not finite")
    return value


def _one_of(headers: Mapping[str, Any], name: str, allowed: tuple[Any, ...]) -> Any:
    value = _text(headers, name)
    if value not in allowed:
        raise Undecodable(f"headers: {name} is unknown")
    return value


def _others(headers: Mapping[str, Any]) -> Mapping[str, str | int | float]:
    """The headers of a newer version; a broker's own begin with `x-`."""
    if headers.keys() <= KNOWN:
        return _NONE
    return {
        name: value
        for name, value in headers.items()
        if name not in KNOWN and isinstance(value, str | int | float) and not name.startswith("x-")
    }
