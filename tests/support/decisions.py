"""Decisions as the stages make them, on the evidence of the vectors."""

import json
from typing import Any, Final

from shared.events.decision import Decision
from shared.messaging.envelope import Envelope
from tests.support.payloads import BIZ_ID, changed
from workers.decisioning.classifier import classify
from workers.decisioning.decision_builder import decide
from workers.decisioning.evidence import ReconciledCase
from workers.decisioning.policy import Policy
from workers.faceid.payload import Payload
from workers.faceid.verification import VerifiedArrival

BORN: Final = 1462259748.0
POLICY: Final = Policy.load()


def made_on(
    reconciled: ReconciledCase, policy: Policy = POLICY, now: float = BORN + 3.25, biz_id: str = BIZ_ID
) -> Decision:
    """The first revision on this evidence."""
    envelope = Envelope("i1", "default", "notify", "POST", BORN, b"", biz_id=biz_id)
    return decide(envelope, reconciled, classify(reconciled.evidence, policy), policy, now)


def on_callback(name: str = "clean-pass", *, refusal: str | None = "BUDGET_SPENT", **changes: Any) -> ReconciledCase:
    """A signed callback, to which GetResult had nothing to say; with no `refusal` none was asked for."""
    data = json.dumps(changed(name, **changes))
    verified = VerifiedArrival(BIZ_ID, Payload.from_json(data), data, 0)
    return ReconciledCase(verified, "", None, refusal, refusal is not None, ("notify",))


def on_answer(name: str = "clean-pass", **changes: Any) -> ReconciledCase:
    """A signed callback and GetResult's answer that says the same."""
    posted = on_callback(name, **changes)
    data = posted.verified.data
    return ReconciledCase(posted.verified, data, Payload.from_json(data), None, True, ("notify",))


def dumped(decision: Decision) -> bytes:
    """As the ledger holds it."""
    return decision.model_dump_json().encode()
