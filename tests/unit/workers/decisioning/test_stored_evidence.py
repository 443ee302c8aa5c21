"""The fields of a case in the ledger give back the evidence of its decision."""

import pytest

from shared.compression import compress
from shared.ledger.case_key import CaseKey
from shared.messaging.envelope import Envelope
from tests.support.decisions import dumped, made_on, on_answer, on_callback
from tests.support.payloads import BIZ_ID, ISSUED_AT
from workers.decisioning.classifier import classify
from workers.decisioning.decision_builder import decide
from workers.decisioning.evidence import ReconciledCase
from workers.decisioning.policy import Policy
from workers.decisioning.stored_evidence import load_stored_evidence

CASE = CaseKey("default", BIZ_ID)
POLICY = Policy.load()


def stored_fields(reconciled: ReconciledCase) -> dict[str, bytes]:
    """The ledger's fields of a case with this evidence."""
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
def test_the_same_evidence_and_policy_give_the_same_decision(reconciled: ReconciledCase) -> None:
    stored_evidence = load_stored_evidence(CASE, stored_fields(reconciled))
    assert stored_evidence is not None
    verdict = classify(stored_evidence.reconciled.evidence, POLICY)
    again = decide(stored_evidence.envelope, stored_evidence.reconciled, verdict, POLICY, ISSUED_AT + 3.25)
    assert again.decision == made_on(reconciled)
    assert stored_evidence.stored_decision == dumped(made_on(reconciled))


def test_a_late_answer_is_part_of_the_stored_evidence() -> None:
    stored_evidence = load_stored_evidence(CASE, stored_fields(on_callback()) | {"raw": on_answer().raw.encode()})
    assert stored_evidence is not None
    assert classify(stored_evidence.reconciled.evidence, POLICY).outcome == "APPROVED"
    assert (stored_evidence.reconciled.refusal, stored_evidence.reconciled.reconcile) == (None, True)


def test_stored_evidence_makes_a_message_for_classify() -> None:
    stored_evidence = load_stored_evidence(CASE, stored_fields(on_answer()))
    assert stored_evidence is not None
    message = stored_evidence.envelope.to_message("faceid.reconciled")
    read = Envelope.read(message.headers, message.content_type, message.body)
    assert ReconciledCase.load(read.body) == stored_evidence.reconciled
    assert (read.biz_id, read.account, read.received_at) == (BIZ_ID, "default", ISSUED_AT)


def test_has_evidence_is_true_with_a_callback_or_an_answer() -> None:
    fields = stored_fields(on_answer())
    alone = load_stored_evidence(CASE, {name: value for name, value in fields.items() if name != "callback"})
    empty = load_stored_evidence(CASE, {"decision": fields["decision"]})
    assert alone is not None
    assert empty is not None
    assert (alone.has_evidence, empty.has_evidence) == (True, False)
    assert classify(alone.reconciled.evidence, POLICY).outcome == "APPROVED"


@pytest.mark.parametrize("field", ["left_out", "evidence_dropped_at"])
def test_evidence_that_is_not_stored_prevents_approval(field: str) -> None:
    evidence = load_stored_evidence(CASE, stored_fields(on_answer()) | {field: b"1"})
    assert evidence is not None
    assert ReconciledCase.load(evidence.reconciled.dump()) == evidence.reconciled
    assert classify(evidence.reconciled.evidence, POLICY).outcome == "REVIEW"


def test_compressed_texts_are_the_same_evidence() -> None:
    fields = stored_fields(on_answer())
    packed = {
        name: compress(value) if name in {"callback", "raw", "decision"} else value for name, value in fields.items()
    }
    plain, compressed = load_stored_evidence(CASE, fields), load_stored_evidence(CASE, packed)
    assert plain is not None
    assert compressed is not None
    assert (compressed.reconciled, compressed.decision) == (plain.reconciled, plain.decision)
    assert compressed.stored_decision == packed["decision"]


def test_an_undecided_case_has_no_stored_evidence() -> None:
    assert load_stored_evidence(CASE, {"callback": b"{}", "raw": b"{}"}) is None
