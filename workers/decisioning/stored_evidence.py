"""Load the stored evidence of a decided case from the ledger's fields, to classify it again."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from shared.compression import decompress
from shared.events.decision import Decision, ReasonCode
from shared.ledger.case_fields import DROPPED_AT, read_signed_texts, read_text, stored_text
from shared.ledger.case_key import CaseKey
from shared.messaging.envelope import Channel, Envelope
from workers.decisioning.evidence import ReconciledCase, answer_text, final_result
from workers.faceid.payload import Payload
from workers.faceid.verification import VerifiedArrival

NEWEST_SECRET: Final = 0


@dataclass(frozen=True, slots=True)
class StoredEvidence:
    """A decided case: its current decision, and the evidence that the ledger holds."""

    stored_decision: bytes = field(repr=False)
    """The current decision as it is stored in the ledger, byte for byte."""
    decision: Decision
    """The same, parsed."""
    reconciled: ReconciledCase = field(repr=False)
    """The signed callbacks and GetResult's answer, as far as they are stored."""

    @property
    def envelope(self) -> Envelope:
        """An envelope that takes this evidence to the classify stage."""
        decision = self.decision
        channel: Channel = decision.channels[0] if decision.channels else "notify"
        received_at = datetime.fromisoformat(decision.received_at).timestamp()
        empty = Envelope(f"reclassify-{decision.id}", decision.account, channel, "POST", received_at, b"")
        return empty.advanced(self.reconciled.dump(), decision.biz_id)

    @property
    def has_evidence(self) -> bool:
        """Whether there is a callback or an answer to classify."""
        return self.reconciled.verified.callback is not None or self.reconciled.result is not None


def load_stored_evidence(case: CaseKey, fields: Mapping[str, bytes]) -> StoredEvidence | None:
    """Read a case from the fields of its hash. None when the case has no decision.

    GetResult counts as wanted only if it was wanted when the case was decided. So a decision of an account with
    `FACEID_RECONCILE=never` does not get the reason NOT_RECONCILED now.
    """
    stored = stored_text(fields, "decision")
    if stored is None:
        return None
    decision = Decision.model_validate_json(decompress(stored))
    data, *later = read_signed_texts(fields) or ("",)
    callback = Payload.from_json(data) if data else None
    raw = read_text(fields, "raw")
    result = final_result(raw, case.biz_id) if raw else None
    causes = [reason.value for reason in decision.reasons if reason.code is ReasonCode.NOT_RECONCILED]
    reconciled = ReconciledCase(
        verified=VerifiedArrival(case.biz_id, callback, data, NEWEST_SECRET if data else None),
        raw=answer_text(raw) if raw and result else "",
        result=result,
        refusal=None if result else fields.get("refused", b"").decode() or str(causes[0] if causes else "") or None,
        reconcile=bool(result or causes or decision.reconciled),
        channels=_channels(fields),
        later=tuple(later),
        unseen="left_out" in fields or DROPPED_AT in fields,
    )
    return StoredEvidence(stored, decision, reconciled)


def _channels(fields: Mapping[str, bytes]) -> tuple[Channel, ...]:
    names: tuple[Channel, ...] = ("notify", "return")
    return tuple(name for name in names if f"count:{name}" in fields)
