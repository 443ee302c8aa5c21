"""A case as the ledger keeps it becomes the evidence that it was decided on."""

import pytest

from shared.ledger.case_key import CaseKey
from shared.messaging.envelope import Envelope
from tests.support.decisions import BORN, dumped, made_on, on_answer, on_callback
from tests.support.payloads import BIZ_ID
from workers.decisioning.classifier import classify
from workers.decisioning.decision_builder import decide
from workers.decisioning.evidence import ReconciledCase
from workers.decisioning.policy import Policy
from workers.decisioning.stored_evidence import load_stored_evidence

CASE = CaseKey("default", BIZ_ID)
POLICY = Policy.load()


def kept(reconciled: ReconciledCase) -> dict[str, bytes]:
    """The fields of a case that was decided on this."""
    fields = {"decision": dumped(made_on(reconciled)), "callback": reconciled.verified.data.encode()}
    fields |= {"raw": reconciled.raw.encode()} if reconciled.raw else {}
    fields |= {"refused": reconciled.refusal.encode()} if reconciled.refusal == "DATA_DESTROYED" else {}
    return fields | {f"count:{channel}": b"1" for channel in reconciled.channels}


@pytest.mark.parametrize(
    "reconciled",
    [
        on_answer(),
        on_answer("mask-attack"),
        on_callback(),
        on_callback(refusal="DATA_DESTROYED"),
        on_callback(refusal="RESULT_EXPIRED"),
        on_callback(refusal=None),
        on_callback("cancelled"),
    ],
    ids=["answer", "attack", "budget spent", "destroyed", "expired", "trusted", "cancelled"],
)
def test_the_same_evidence_by_the_same_policy_is_the_same_decision(reconciled: ReconciledCase) -> None:
    stored_evidence = load_stored_evidence(CASE, kept(reconciled))
    assert stored_evidence is not None
    verdict = classify(stored_evidence.reconciled.evidence, POLICY)
    assert decide(stored_evidence.envelope, stored_evidence.reconciled, verdict, POLICY, BORN + 3.25) == made_on(
        reconciled
    )
    assert stored_evidence.stored == dumped(made_on(reconciled))


def test_an_answer_that_came_after_the_decision_is_part_of_the_evidence() -> None:
    stored_evidence = load_stored_evidence(CASE, kept(on_callback()) | {"raw": on_answer().raw.encode()})
    assert stored_evidence is not None
    assert classify(stored_evidence.reconciled.evidence, POLICY).outcome == "APPROVED"
    assert (stored_evidence.reconciled.refusal, stored_evidence.reconciled.reconcile) == (None, True)


def test_a_recalled_case_is_a_message_for_the_stage_that_classifies() -> None:
    stored_evidence = load_stored_evidence(CASE, kept(on_answer()))
    assert stored_evidence is not None
    post = stored_evidence.envelope.to_message("faceid.reconciled")
    read = Envelope.read(post.headers, post.content_type, post.body)
    assert ReconciledCase.load(read.body) == stored_evidence.reconciled
    assert (read.biz_id, read.account, read.received_at) == (BIZ_ID, "default", BORN)


def test_without_a_callback_there_is_the_answer_and_without_either_there_is_nothing() -> None:
    fields = kept(on_answer())
    alone = load_stored_evidence(CASE, {name: value for name, value in fields.items() if name != "callback"})
    bare = load_stored_evidence(CASE, {"decision": fields["decision"]})
    assert alone is not None
    assert bare is not None
    assert (alone.has_evidence, bare.has_evidence) == (True, False)
    assert classify(alone.reconciled.evidence, POLICY).outcome == "APPROVED"


def test_an_undecided_case_is_not_recalled() -> None:
    assert load_stored_evidence(CASE, {"callback": b"{}", "raw": b"{}"}) is None
