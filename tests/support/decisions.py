"""Decisions as the stages make them, from the evidence of the test vectors."""

import json
from typing import Any, Final

from shared.events.decision import Decision
from shared.messaging.envelope import Envelope
from tests.support.payloads import BIZ_ID, ISSUED_AT, changed
from workers.decisioning.classifier import classify
from workers.decisioning.decided_case import DecidedCase
from workers.decisioning.decision_builder import decide
from workers.decisioning.evidence import ReconciledCase
from workers.decisioning.policy import Policy
from workers.faceid.payload import Payload
from workers.faceid.verification import VerifiedArrival

POLICY: Final = Policy.load()


def made_on(
    reconciled: ReconciledCase, policy: Policy = POLICY, now: float = ISSUED_AT + 3.25, biz_id: str = BIZ_ID
) -> Decision:
    """The first revision of the decision on this evidence."""
    return decided_on(reconciled, policy, now, biz_id).decision


def decided_on(
    reconciled: ReconciledCase, policy: Policy = POLICY, now: float = ISSUED_AT + 3.25, biz_id: str = BIZ_ID
) -> DecidedCase:
    """The same as `classify` hands it to `publish`."""
    envelope = Envelope("i1", "default", "notify", "POST", ISSUED_AT, b"", biz_id=biz_id)
    return decide(envelope, reconciled, classify(reconciled.evidence, policy), policy, now)


def on_callback(name: str = "clean-pass", *, refusal: str | None = "BUDGET_SPENT", **changes: Any) -> ReconciledCase:
    """A signed callback without an answer of GetResult, because of `refusal`; None: GetResult was not asked."""
    data = json.dumps(changed(name, **changes))
    verified = VerifiedArrival(BIZ_ID, Payload.from_json(data), data, 0)
    return ReconciledCase(verified, "", None, refusal, refusal is not None, ("notify",))


def on_answer(name: str = "clean-pass", **changes: Any) -> ReconciledCase:
    """A signed callback, and GetResult's answer with the same content."""
    posted = on_callback(name, **changes)
    data = posted.verified.data
    return ReconciledCase(posted.verified, data, Payload.from_json(data), None, True, ("notify",))


def dumped(decision: Decision) -> bytes:
    """The decision as the ledger holds it."""
    return decision.model_dump_json().encode()
