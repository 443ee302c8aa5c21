"""The classify stage: every case gets a decision that shows what it is based on."""

import pytest

from shared.events.decision import Decision
from shared.messaging.envelope import Envelope
from tests.support.cases import Clock, unsigned, verified
from tests.support.decisions import on_answer
from tests.support.payloads import BIZ_ID, ISSUED_AT
from workers.decisioning.decided_case import DecidedCase
from workers.decisioning.evidence import ReconciledCase
from workers.decisioning.policy import Policy
from workers.runtime import stage_result
from workers.stages.classify import Classify

STAGE = Classify({"default": Policy.load()}, Clock(ISSUED_AT + 3.25))


def envelope(account: str = "default") -> Envelope:
    return Envelope("i1", account, "notify", "POST", ISSUED_AT, b"", biz_id=BIZ_ID)


async def decision_on(reconciled: ReconciledCase) -> Decision:
    result = await STAGE.run(envelope(), reconciled)
    assert isinstance(result, stage_result.Forward)
    assert isinstance(result.value, DecidedCase)
    return result.value.decision


async def test_a_decision_shows_its_case_policy_and_times() -> None:
    decision = await decision_on(on_answer())
    assert (decision.outcome, decision.reconciled, decision.revision) == ("APPROVED", True, 1)
    assert (decision.account, decision.biz_id, decision.channels) == ("default", BIZ_ID, ("notify",))
    assert (decision.received_at, decision.decided_at) == ("2016-05-03T07:15:48.000Z", "2016-05-03T07:15:51.250Z")
    assert (decision.policy.version, decision.policy.digest) == (Policy.load().version, Policy.load().digest)


@pytest.mark.parametrize("refusal", ["DATA_DESTROYED", "RESULT_NOT_FOUND", "BUDGET_SPENT"])
async def test_missing_evidence_never_rejects(refusal: str) -> None:
    signed = await decision_on(ReconciledCase(verified(), "", None, refusal, True, ("notify",)))
    assert (signed.outcome, signed.reconciled) == ("REVIEW", False)
    nothing_signed = await decision_on(ReconciledCase(unsigned(), "", None, refusal, True, ("return",)))
    assert (nothing_signed.outcome, nothing_signed.reconciled) == ("UNDETERMINED", False)


async def test_without_reconciling_a_missing_answer_is_no_reason() -> None:
    decision = await decision_on(ReconciledCase(verified(), "", None, None, False, ("notify",)))
    assert (decision.outcome, decision.reconciled) == ("APPROVED", False)


async def test_classify_of_an_unknown_account_is_a_dead_letter() -> None:
    result = await STAGE.run(envelope("unknown"), on_answer())
    assert isinstance(result, stage_result.DeadLetter)
    assert result.reason == "unknown_account"


async def test_a_case_from_memory_and_from_a_message_gets_the_same_decision() -> None:
    reconciled = on_answer()
    assert await decision_on(STAGE.load(reconciled.dump())) == await decision_on(reconciled)
