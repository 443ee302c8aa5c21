"""What travels: one callback, or what a stage has made of it, and where it came from."""

from dataclasses import dataclass, replace
from typing import Literal, Self
from uuid import uuid4

Channel = Literal["notify", "return"]
Method = Literal["POST", "GET"]


@dataclass(frozen=True, slots=True)
class Envelope:
    """One item on its way through the stages.

    The `body` is the stage's input: for `verify` the request body as it came, byte for byte; later the JSON of
    what the stage before has made. All else stays the same from the ingress to the decision.
    """

    id: str
    """Idempotency key, made at the ingress; a repeat of a message bears the same one."""
    account: str
    channel: Channel
    method: Method
    received_at: float
    """Unix seconds by the ingress's clock."""
    body: bytes
    content_type: str = ""
    query: str = ""
    """The raw query string of the request, without `?`."""
    attempts: int = 0
    """Failed attempts of the present stage."""
    first_attempt_at: float = 0.0
    """Unix seconds of the present stage's first failed attempt; 0 when there is none."""
    biz_id: str = ""
    """Known from `verify` on; empty before."""

    @classmethod
    def arrived(  # noqa: PLR0913 - one argument for each fact of a request
        cls, account: str, channel: Channel, method: Method, body: bytes, content_type: str, query: str, now: float
    ) -> Self:
        """A new envelope with an id of its own."""
        return cls(uuid4().hex, account, channel, method, now, body, content_type, query)

    def advanced(self, body: bytes, biz_id: str) -> "Envelope":
        """The same item for the next stage, its attempts forgotten."""
        return replace(self, body=body, biz_id=biz_id, content_type="application/json", attempts=0, first_attempt_at=0.0)
