"""What `reconcile` hands to `classify`: the evidence, and what it is worth."""

import json
from dataclasses import dataclass
from typing import Self

from workers.decisioning.classifier import Evidence
from workers.faceid.payload import Callback, NotACallback, is_final
from workers.faceid.strict_json import NotStrictJson
from workers.faceid.verification import Verified


@dataclass(frozen=True, slots=True)
class Reconciled:
    """The signed callback, GetResult's answer as far as there is one, and the channels the case has heard from."""

    verified: Verified
    raw: str
    """GetResult's answer as it came; empty when there is none."""
    result: Callback | None
    refusal: str | None
    """Why there is no answer; None when there is one, or when none is wanted."""
    reconcile: bool
    channels: tuple[str, ...]

    @property
    def biz_id(self) -> str:
        """The case."""
        return self.verified.biz_id

    @property
    def evidence(self) -> Evidence:
        """What is classified."""
        return Evidence(self.verified.callback, self.result, self.refusal, self.reconcile)

    def dump(self) -> bytes:
        """As JSON; the texts stay as they were signed and sent."""
        record = {
            "verified": self.verified.dump().decode(),
            "raw": self.raw,
            "refusal": self.refusal,
            "reconcile": self.reconcile,
            "channels": self.channels,
        }
        return json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode()

    @classmethod
    def load(cls, body: bytes) -> Self:
        """What `dump` wrote."""
        record = json.loads(body)
        raw, verified = record["raw"], Verified.load(record["verified"].encode())
        return cls(
            verified=verified,
            raw=raw,
            result=Callback.from_json(raw, biz_id=verified.biz_id) if raw else None,
            refusal=record["refusal"],
            reconcile=record["reconcile"],
            channels=tuple(record["channels"]),
        )


def final_result(raw: bytes, biz_id: str) -> Callback | None:
    """What GetResult answered, if that decides; None for a flow that goes on, and for what can't be read."""
    try:
        result = Callback.from_json(raw, biz_id=biz_id)
    except (NotStrictJson, NotACallback):
        return None
    return result if result.biz_id == biz_id and result.status and is_final(result.status) else None
