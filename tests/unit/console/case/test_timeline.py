import json
from typing import Any

import pytest

from console.case.record import CaseRecord, items
from console.case.timeline import CaseTimeline, build_timeline, reasons
from shared.events.decision import Decision
from shared.ledger.case_key import CaseKey
from shared.ledger.message_set import SetName
from shared.messaging.stored_message import StoredMessage
from tests.support.stored_messages import NOW, letter

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
    "opened_at": str(NOW - 60),
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


def told(
    fields: dict[str, str] | None = None,
    *,
    resting: tuple[tuple[SetName, StoredMessage], ...] = (),
    evidence: dict[str, int] | None = None,
) -> CaseTimeline:
    record = CaseRecord(CaseKey("default", "1795334000,case-1"), FIELDS | (fields or {}), evidence or {}, resting)
    return build_timeline(record, budget=3, now=NOW)


def decided(**fields: Any) -> str:
    return json.dumps(DECISION | fields)


def test_arrivals_are_told_in_their_order_with_their_proof_and_part() -> None:
    events = told().events

    assert [(event.at, event.kind) for event in events] == [
        (NOW - 60, "arrival"),
        (NOW - 55, "arrival"),
        (NOW - 50, "arrival"),
    ]
    assert [event.text for event in events] == [
        "notify: signed with the newest secret; it carries the case; item item-1",
        "return: a hint, not signed; it rechecks the case later; item item-3",
        "notify: signed with secret 2 of the list; item item-2",
    ]


def test_arrivals_too_many_to_be_noted_are_counted() -> None:
    assert told().arrivals == {"notify": 3, "return": 1}


@pytest.mark.parametrize(
    ("fields", "evidence", "expected"),
    [
        ({}, {}, {"used": 2, "left": 1, "under_way": False, "rests": 0.0, "refused": None, "stored_bytes": 0}),
        ({"reads": "3"}, {"raw": 860}, {"used": 3, "left": 0, "stored_bytes": 860}),
        ({"read_until": f"{(NOW + 4) * 1000:.0f}"}, {}, {"under_way": True}),
        ({"read_until": f"{(NOW - 4) * 1000:.0f}"}, {}, {"under_way": False}),
        ({"next_read_at": f"{(NOW + 30) * 1000:.0f}"}, {}, {"rests": 30.0}),
        ({"next_read_at": f"{(NOW + 30) * 1000:.0f}"}, {"raw": 1}, {"rests": 0.0}),
        ({"refused": "DATA_DESTROYED"}, {"set_aside": 70}, {"refused": "DATA_DESTROYED", "set_aside_bytes": 70}),
    ],
)
def test_reads_of_getresult_are_counted_against_the_budget(
    fields: dict[str, str], evidence: dict[str, int], expected: dict[str, Any]
) -> None:
    reads = told(fields, evidence=evidence).reads

    assert {name: getattr(reads, name) for name in expected} == expected


def test_the_stored_answer_is_an_event_of_which_only_the_length_is_told() -> None:
    event = told({"raw_at": str(NOW - 1)}, evidence={"raw": 860}).events[-1]

    assert (event.at, event.kind, event.text) == (NOW - 1, "get_result", "GetResult answered; 860 bytes are stored")


def test_a_decision_is_told_with_its_reasons_in_words() -> None:
    case = told({"decision": decided(), "published": "an-id"})

    assert (case.state, case.published) == ("REJECTED, published", "an-id")
    assert case.decision is not None
    assert reasons(case.decision) == [
        "FACE_BELOW_THRESHOLD: Face confidence 40.5 is below 64: this refuses the person",
        "NOT_RECONCILED: GetResult could not confirm the callback (DATA_DESTROYED): a person must look",
    ]
    assert case.events[-1].text == ("REJECTED by policy default-1, not reconciled with GetResult; revision 1")


@pytest.mark.parametrize(
    ("resting", "fields", "state"),
    [
        ((), {}, "under way"),
        ((("delayed", letter(1)),), {}, "waiting"),
        ((("delayed", letter(2)), ("dead", letter(1))), {}, "stopped: among the dead letters"),
        ((("dead", letter(1)),), {"decision": decided()}, "REJECTED, not published"),
    ],
)
def test_the_state_is_where_the_case_stands(
    resting: tuple[tuple[SetName, StoredMessage], ...], fields: dict[str, str], state: str
) -> None:
    assert told(fields, resting=resting).state == state


def test_what_rests_is_told_with_its_reason_and_its_time() -> None:
    later = letter(1, reason="read_spacing", detail="", at=NOW + 90, attempts=2)
    texts = {event.kind: event.text for event in told(resting=(("delayed", later), ("dead", letter(2)))).events}

    assert texts["delayed"] == "waits before reconcile (read_spacing), due in 1m 30s, 2 attempts failed; item item-1"
    assert texts["dead"] == (
        "lies in dead before reconcile (error: KeyError at stages.py:9 in run), 7 attempts failed; item item-2"
    )


def test_replays_and_drops_are_told_with_who_and_why() -> None:
    note = {"by": "alice", "note": "mended", "message_set": "dead", "stage": "verify", "reason": "undecodable"}
    events = told(
        {
            f"replay:callbacks:7-0:{(NOW - 2) * 1000:.0f}": json.dumps(note),
            f"drop:item-2:{(NOW - 1) * 1000:.0f}": json.dumps(note | {"note": ""}),
        }
    ).events[-2:]

    assert [(event.at, event.kind) for event in events] == [(NOW - 2, "replay"), (NOW - 1, "drop")]
    assert [event.text for event in events] == [
        'replayed by alice from dead (verify: undecodable): "mended"; item callbacks:7-0',
        "dropped by alice from dead (verify: undecodable); item item-2",
    ]


def test_contradicting_evidence_is_told_at_the_time_it_came() -> None:
    event = told({"conflict:0a1b": "item-2"}).events[-1]

    assert (event.at, event.kind) == (NOW - 50, "conflict")


def test_a_superseded_decision_is_told_with_who_and_why() -> None:
    second = DECISION | {
        "revision": 2,
        "outcome": "APPROVED",
        "reconciled": True,
        "decided_at": "2026-11-22T08:00:05.000Z",
    }
    case = told(
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


def test_json_hides_what_the_customer_sent_along_unless_asked() -> None:
    case = told({"decision": decided()})

    assert case.as_json(reveal=False)["decision"]["biz_extra_data"] == "[hidden, 8 characters]"
    assert "Jane" not in json.dumps(case.as_json(reveal=False))
    assert Decision.model_validate(case.as_json(reveal=True)["decision"]) == case.decision


def test_the_items_of_a_case_are_found_by_every_trace_of_them() -> None:
    names = [*FIELDS, "replay:callbacks:7-0:1795334400000", "drop:item-9:1795334400000"]

    found = items(names, FIELDS | {"signed_recheck": "item-8"})

    assert sorted(found) == ["callbacks:7-0", "item-1", "item-2", "item-3", "item-8", "item-9"]
