import json
from typing import Any

import pytest

from console.case.record import CaseRecord, StoredTexts, item_ids
from console.case.timeline import CaseTimeline, build_timeline, explain_reasons
from shared.events.decision import Decision
from shared.ledger.case_key import CaseKey
from shared.ledger.message_set import SetName
from shared.messaging.stored_message import StoredMessage
from tests.support.stored_messages import NOW, dead_letter

DECISION: dict[str, Any] = {
    "biz_id": "1795334000,case-1",
    "biz_no": "order-7",
    "biz_extra_data": "Jane Doe",
    "account": "default",
    "outcome": "REJECTED",
    "reasons": [
        {
            "code": "FACE_BELOW_THRESHOLD",
            "field": "verify_result.result_ref1.confidence",
            "value": 40.5,
            "limit": 64.0,
            "effect": "reject",
        },
        {"code": "NOT_RECONCILED", "field": "get_result", "value": "DATA_DESTROYED", "limit": None, "effect": "review"},
    ],
    "policy": {"version": "default-1", "digest": "0" * 64},
    "reconciled": False,
    "channels": ["notify"],
    "revision": 1,
    "supersedes": None,
    "status": "OK",
    "liveness": None,
    "genuineness": None,
    "faces": [],
    "received_at": "2026-11-22T07:59:00.000Z",
    "decided_at": "2026-11-22T07:59:59.500Z",
}
FIELDS = {
    "biz_no": "order-7",
    "count:notify": "3",
    "count:return": "1",
    "arrival:item-1": f"notify|{NOW - 60}|0",
    "arrival:item-2": f"notify|{NOW - 50}|1",
    "arrival:item-3": f"return|{NOW - 55}|",
    "owner": "item-1",
    "unsigned_recheck": "item-3",
    "reads": "2",
}


def timeline(
    fields: dict[str, str] | None = None,
    *,
    stored: tuple[tuple[SetName, StoredMessage], ...] = (),
    evidence: dict[str, int] | None = None,
) -> CaseTimeline:
    """`evidence`: lengths of FaceID's texts."""
    texts = StoredTexts(**{name: "x" * length for name, length in (evidence or {}).items()})  # type: ignore[arg-type]
    record = CaseRecord(CaseKey("default", "1795334000,case-1"), FIELDS | (fields or {}), texts, stored)
    return build_timeline(record, budget=3, now=NOW)


def decided(**fields: Any) -> str:
    return json.dumps(DECISION | fields)


def test_arrivals_are_listed_in_order_with_their_signature_and_role() -> None:
    events = timeline().events

    assert [(event.at, event.kind) for event in events] == [
        (NOW - 60, "arrival"),
        (NOW - 55, "arrival"),
        (NOW - 50, "arrival"),
    ]
    assert [event.text for event in events] == [
        "notify: signed with the newest secret; owns the case; item item-1",
        "return: not signed; rechecks the case later; item item-3",
        "notify: signed with secret 2 of the list; item item-2",
    ]


def test_arrivals_that_are_not_listed_are_counted() -> None:
    assert timeline().arrivals == {"notify": 3, "return": 1}


@pytest.mark.parametrize(
    ("fields", "evidence", "expected"),
    [
        (
            {},
            {},
            {"used": 2, "left": 1, "under_way": False, "retry_in_seconds": 0.0, "refused": None, "stored_bytes": 0},
        ),
        ({"reads": "3"}, {"get_result": 860}, {"used": 3, "left": 0, "stored_bytes": 860}),
        ({"read_until": f"{(NOW + 4) * 1000:.0f}"}, {}, {"under_way": True}),
        ({"read_until": f"{(NOW - 4) * 1000:.0f}"}, {}, {"under_way": False}),
        ({"next_read_at": f"{(NOW + 30) * 1000:.0f}"}, {}, {"retry_in_seconds": 30.0}),
        ({"next_read_at": f"{(NOW + 30) * 1000:.0f}"}, {"get_result": 1}, {"retry_in_seconds": 0.0}),
        ({"refused": "DATA_DESTROYED"}, {"set_aside": 70}, {"refused": "DATA_DESTROYED", "set_aside_bytes": 70}),
    ],
)
def test_getresult_calls_are_counted_against_the_budget(
    fields: dict[str, str], evidence: dict[str, int], expected: dict[str, Any]
) -> None:
    reads = timeline(fields, evidence=evidence).reads

    assert {name: getattr(reads, name) for name in expected} == expected


def test_only_the_length_of_the_stored_answer_is_shown() -> None:
    event = timeline({"raw_at": str(NOW - 1)}, evidence={"get_result": 860}).events[-1]

    assert (event.at, event.kind, event.text) == (NOW - 1, "get_result", "GetResult answered; 860 bytes stored")


def test_a_decision_is_shown_with_its_reasons() -> None:
    case = timeline({"decision": decided(), "published": "an-id"})

    assert (case.state, case.published) == ("REJECTED, published", "an-id")
    assert case.decision is not None
    assert explain_reasons(case.decision) == [
        "FACE_BELOW_THRESHOLD: Face confidence 40.5 is below 64: causes rejection",
        "NOT_RECONCILED: GetResult could not confirm the callback (DATA_DESTROYED): a person must review it",
    ]
    assert case.events[-1].text == ("REJECTED by policy default-1, not reconciled with GetResult; revision 1")


@pytest.mark.parametrize(
    ("stored", "fields", "state"),
    [
        ((), {}, "in progress"),
        ((("delayed", dead_letter(1)),), {}, "waiting"),
        ((("delayed", dead_letter(2)), ("dead", dead_letter(1))), {}, "stopped: dead letter"),
        ((("dead", dead_letter(1)),), {"decision": decided()}, "REJECTED, not published"),
    ],
)
def test_the_state_says_how_far_the_case_is(
    stored: tuple[tuple[SetName, StoredMessage], ...], fields: dict[str, str], state: str
) -> None:
    assert timeline(fields, stored=stored).state == state


def test_stored_messages_are_shown_with_reason_and_time() -> None:
    later = dead_letter(1, reason="read_spacing", detail="", at=NOW + 90, attempts=2)
    texts = {event.kind: event.text for event in timeline(stored=(("delayed", later), ("dead", dead_letter(2)))).events}

    assert texts["delayed"] == "delayed before reconcile (read_spacing), due in 1m 30s, 2 attempts failed; item item-1"
    assert texts["dead"] == (
        "in dead, failed in reconcile (error: KeyError at stages.py:9 in run), 7 attempts failed; item item-2"
    )


def test_replays_and_drops_are_shown_with_who_and_why() -> None:
    note = {"by": "alice", "note": "fixed", "message_set": "dead", "stage": "verify", "reason": "undecodable"}
    events = timeline(
        {
            f"replay:callbacks:7-0:{(NOW - 2) * 1000:.0f}": json.dumps(note),
            f"drop:item-2:{(NOW - 1) * 1000:.0f}": json.dumps(note | {"note": ""}),
        }
    ).events[-2:]

    assert [(event.at, event.kind) for event in events] == [(NOW - 2, "replay"), (NOW - 1, "drop")]
    assert [event.text for event in events] == [
        'replayed by alice from dead (verify: undecodable): "fixed"; item callbacks:7-0',
        "dropped by alice from dead (verify: undecodable); item item-2",
    ]


def test_contradicting_evidence_is_shown_at_its_arrival() -> None:
    event = timeline({"conflict:0a1b": "item-2"}).events[-1]

    assert (event.at, event.kind) == (NOW - 50, "conflict")


def test_a_superseded_decision_is_shown_with_who_and_why() -> None:
    second = DECISION | {
        "revision": 2,
        "outcome": "APPROVED",
        "reconciled": True,
        "decided_at": "2026-11-22T08:00:05.000Z",
    }
    case = timeline(
        {
            "revision:1": decided(),
            "superseded:1": json.dumps({"by": "alice", "note": "policy 8"}),
            "decision": json.dumps(second),
            "published": "id-2",
        }
    )

    assert [event.text for event in case.events if event.kind == "decision"] == [
        "REJECTED by policy default-1, not reconciled with GetResult; revision 1",
        'APPROVED by policy default-1, on GetResult\'s answer; revision 2, decided again by alice: "policy 8"',
    ]
    assert (case.state, case.published) == ("APPROVED, published", "id-2")
    (earlier,) = case.as_json(reveal=False)["earlier"]
    assert (earlier["superseded_by"], earlier["note"], earlier["decision"]["revision"]) == ("alice", "policy 8", 1)
    assert "Jane" not in json.dumps(earlier)


def test_json_hides_biz_extra_data_without_reveal() -> None:
    case = timeline({"decision": decided()})

    assert case.as_json(reveal=False)["decision"]["biz_extra_data"] == "[hidden, 8 characters]"
    assert "Jane" not in json.dumps(case.as_json(reveal=False))
    assert Decision.model_validate(case.as_json(reveal=True)["decision"]) == case.decision


def test_faceids_texts_are_shown_only_with_reveal() -> None:
    case = timeline(evidence={"get_result": 860}).as_json
    assert case(reveal=False)["evidence"] == {
        "callbacks": [],
        "get_result": "[hidden, 860 characters]",
        "set_aside": None,
    }
    assert case(reveal=True)["evidence"]["get_result"] == "x" * 860


def test_evidence_that_was_deleted_is_shown_with_its_time() -> None:
    case = timeline({"decision": decided(), "evidence_dropped_at": str(NOW)})
    assert case.evidence_dropped_at is not None
    assert case.as_json(reveal=False)["evidence_dropped_at"] == case.evidence_dropped_at
    assert [event.at for event in case.events if event.kind == "evidence"] == [NOW]


def test_every_item_that_a_case_mentions_is_found() -> None:
    names = [*FIELDS, "replay:callbacks:7-0:1795334400000", "drop:item-9:1795334400000"]

    found = item_ids(names, FIELDS | {"signed_recheck": "item-8"})

    assert sorted(found) == ["callbacks:7-0", "item-1", "item-2", "item-3", "item-8", "item-9"]
