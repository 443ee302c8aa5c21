"""Recall a case: its evidence as the ledger keeps it, for its decision to be made again."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from shared.events.decision import Decision, ReasonCode
from shared.ledger.case_key import CaseKey
from shared.messaging.envelope import Channel, Envelope
from workers.decisioning.evidence import Reconciled, final_result
from workers.faceid.payload import Callback
from workers.faceid.verification import Verified

FIELDS: Final = ("decision", "callback", "raw", "refused", "count:notify", "count:return")
"""What has to be known of a case."""
NEWEST_SECRET: Final = 0


@dataclass(frozen=True, slots=True)
class StoredEvidence:
    """A decided case before its evidence is classified once more."""

    current: bytes = field(repr=False)
    """The decision that stands, byte for byte."""
    decision: Decision
    reconciled: Reconciled = field(repr=False)
    """The carrier's callback and GetResult's answer, as far as they were kept."""

    @property
    def envelope(self) -> Envelope:
        """The item that this evidence came by, for the stage that classifies."""
        decision = self.decision
        channel: Channel = decision.channels[0] if decision.channels else "notify"
        received_at = datetime.fromisoformat(decision.received_at).timestamp()
        bare = Envelope(f"recall-{decision.id}", decision.account, channel, "POST", received_at, b"")
        return bare.advanced(self.reconciled.dump(), decision.biz_id)

    @property
    def has_evidence(self) -> bool:
        """Whether anything was kept that can be classified."""
        return self.reconciled.verified.callback is not None or self.reconciled.result is not None


def recall(case: CaseKey, fields: Mapping[str, bytes]) -> StoredEvidence | None:
    """The case of these fields; None while it is not decided.

    A missing answer is no more of a finding than it was: a decision that was made by the callback alone, as the
    account was set, is not blamed for it.
    """
    if "decision" not in fields:
        return None
    decision = Decision.model_validate_json(fields["decision"])
    data = fields.get("callback", b"").decode()
    callback = Callback.from_json(data) if data else None
    raw = fields.get("raw", b"")
    result = final_result(raw, case.biz_id) if raw else None
    missed = [reason.value for reason in decision.reasons if reason.code is ReasonCode.NOT_RECONCILED]
    reconciled = Reconciled(
        verified=Verified(case.biz_id, callback, data, NEWEST_SECRET if data else None),
        raw=raw.decode() if result else "",
        result=result,
        refusal=None if result else fields.get("refused", b"").decode() or str(missed[0] if missed else "") or None,
        reconcile=bool(result or missed or decision.reconciled),
        channels=_channels(fields),
    )
    return StoredEvidence(fields["decision"], decision, reconciled)


def _channels(fields: Mapping[str, bytes]) -> tuple[Channel, ...]:
    names: tuple[Channel, ...] = ("notify", "return")
    return tuple(name for name in names if f"count:{name}" in fields)
