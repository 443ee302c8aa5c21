"""The checker of histories names every fault that is planted in a history without one."""

from dataclasses import replace
from typing import get_args

import pytest

from tests.chaos.check import check
from tests.chaos.history import AlertMessage, Case, History, InjectedFault, ResultMessage, StoredItem
from tests.chaos.violation import Rule
from tests.unit.tooling.histories import (
    CANCELLED,
    CONTRADICTED,
    FORGED,
    GOOD,
    MADE_UP,
    PASSED,
    REVISED,
    SILENT,
    SPENT,
    UNCONFIRMED,
    UNCONFIRMED_REASONS,
    Plant,
    added,
    both,
    changed,
    fields,
    without,
)
from tests.unit.tooling.planted_alerts import ALERTS, FOUNDED

UNCONFIRMED_PASS = both(
    changed("messages", PASSED, outcome="REVIEW", reasons=UNCONFIRMED_REASONS, not_reconciled=SPENT),
    changed("cases", PASSED, answered=False),
    added("alerts", AlertMessage("alert-9", "budget_spent", 110, PASSED)),
)
"""A decision without GetResult's answer, as it may be where faults have burnt the budget."""

PLANTED: dict[str, tuple[Plant, set[tuple[Rule, str]]]] = {
    "an accepted callback without a trace": (
        both(*(without(name, CANCELLED) for name in ("messages", "cases", "vendor_sessions"))),
        {("lost", CANCELLED), ("arrival lost", CANCELLED)},
    ),
    "a case whose owner is gone": (
        both(
            without("messages", PASSED),
            changed("cases", PASSED, decision="", published=""),
            changed("posted", PASSED, answer=503),
        ),
        {("stranded", PASSED)},
    ),
    "a second decision": (
        added("messages", ResultMessage("id-9", PASSED, 1, None, "APPROVED", 114)),
        {("decided twice", PASSED), ("uncommitted", PASSED)},
    ),
    "a revision that supersedes nothing": (
        changed("messages", REVISED, supersedes=None),
        {("decided twice", REVISED)},
    ),
    "a revision of a decision that had GetResult's answer": (
        both(
            added("messages", ResultMessage("id-9", PASSED, 2, "id-1", "APPROVED", 114)),
            changed("cases", PASSED, decision="id-9", published="id-9"),
        ),
        {("decided twice", PASSED)},
    ),
    "a message published again": (
        added("messages", GOOD.messages[0]),
        {("message twice", PASSED)},
    ),
    "a repeat with another outcome": (
        both(added("messages", replace(GOOD.messages[0], outcome="REVIEW")), fields(results_apart=True)),
        {("message twice", PASSED), ("wrong outcome", PASSED)},
    ),
    "a decision on a made-up biz_id": (
        both(
            added("messages", ResultMessage("id-4", MADE_UP, 1, None, "APPROVED", 114)),
            changed("cases", MADE_UP, decision="id-4", published="id-4"),
        ),
        {("no evidence", MADE_UP), ("wrong outcome", MADE_UP)},
    ),
    "a decision on a forged callback": (
        both(
            added("messages", ResultMessage("id-4", FORGED, 1, None, "APPROVED", 114)),
            added("cases", Case(FORGED, 0, 0, 0, True, "id-4", "id-4")),
        ),
        {("no evidence", FORGED), ("wrong outcome", FORGED)},
    ),
    "a decision on an unsigned return whose result was never read": (
        changed("vendor_sessions", SILENT, reads=0),
        {("no evidence", SILENT)},
    ),
    "an approval of a user who has cancelled": (
        changed("messages", CANCELLED, outcome="APPROVED"),
        {("wrong outcome", CANCELLED)},
    ),
    "a review although GetResult has confirmed the callback": (
        changed("messages", PASSED, outcome="REVIEW"),
        {("wrong outcome", PASSED)},
    ),
    "a review of a mismatch although nothing contradicts": (
        changed("messages", PASSED, outcome="REVIEW", reasons=frozenset({"FACE_MATCHED", "EVIDENCE_MISMATCH"})),
        {("wrong outcome", PASSED)},
    ),
    "an approval without GetResult's answer": (
        changed("messages", UNCONFIRMED, outcome="APPROVED"),
        {("wrong outcome", UNCONFIRMED)},
    ),
    "an approval of contradicting callbacks that names the mismatch": (
        changed("messages", CONTRADICTED, reasons=frozenset({"FACE_MATCHED", "EVIDENCE_MISMATCH"})),
        {("wrong outcome", CONTRADICTED)},
    ),
    "a case that was given up before its budget was spent": (
        both(UNCONFIRMED_PASS, changed("cases", PASSED, reads=2), changed("vendor_sessions", PASSED, reads=2)),
        {("not reconciled", PASSED)},
    ),
    "a budget that no injected fault has burnt": (
        fields(injected=(), alerts=tuple(alert for alert in GOOD.alerts if "breaker" not in alert.kind)),
        {("not reconciled", UNCONFIRMED), ("not reconciled", REVISED)},
    ),
    "a refusal that no injected fault explains": (
        both(
            changed("messages", UNCONFIRMED, not_reconciled="RESULT_NOT_FOUND"),
            without("alerts", UNCONFIRMED),
        ),
        {("not reconciled", UNCONFIRMED)},
    ),
    "a decision without GetResult's answer on an unsigned return": (
        both(
            changed("messages", SILENT, outcome="REVIEW", reasons=UNCONFIRMED_REASONS, not_reconciled=SPENT),
            changed("cases", SILENT, answered=False, reads=3),
            added("alerts", AlertMessage("alert-9", "budget_spent", 112, SILENT)),
        ),
        {("not reconciled", SILENT)},
    ),
    "an answer that came later and is not used": (
        changed("cases", UNCONFIRMED, answered=True),
        {("not reconciled", UNCONFIRMED)},
    ),
    "a fourth read": (
        both(changed("vendor_sessions", PASSED, reads=4), changed("cases", PASSED, reads=4)),
        {("over budget", PASSED)},
    ),
    "a last read that was spent on an unsigned return": (
        both(changed("vendor_sessions", SILENT, reads=3), changed("cases", SILENT, reads=3)),
        {("over budget", SILENT)},
    ),
    "a read that the ledger has not counted": (
        changed("vendor_sessions", CANCELLED, reads=2),
        {("read uncounted", CANCELLED)},
    ),
    "a notify that its case does not know": (
        changed("cases", PASSED, notified=1),
        {("arrival lost", PASSED)},
    ),
    "a notify that counts twice": (
        changed("cases", CANCELLED, notified=2),
        {("arrival twice", CANCELLED)},
    ),
    "a return that counts twice": (
        changed("cases", PASSED, returned=2),
        {("arrival twice", PASSED)},
    ),
    "a message that the ledger does not know": (
        changed("cases", PASSED, decision="", published="", owned=False),
        {("uncommitted", PASSED)},
    ),
    "a decision that was never published": (
        both(without("messages", SILENT), changed("cases", SILENT, published="")),
        {("unpublished", SILENT)},
    ),
    "a mark without its message": (
        without("messages", SILENT),
        {("unpublished", SILENT)},
    ),
    "a dead letter that no injected fault explains": (
        both(
            without("messages", CANCELLED),
            changed("cases", CANCELLED, decision="", published=""),
            added("dead", StoredItem("item-2", CANCELLED, "error")),
        ),
        {("unexplained dead letter", CANCELLED)},
    ),
    "a forged callback that has vanished": (
        without("unverified", FORGED),
        {("forged unaccounted", FORGED)},
    ),
    "a genuine callback taken for a forged one": (
        added("unverified", StoredItem("item-2", PASSED, "bad_signature")),
        {("forged unaccounted", PASSED)},
    ),
    "an item that still waits": (
        fields(waiting={"faceid.verified": 0, "delayed": 1}),
        {("pending", "delayed")},
    ),
    "a process that died by itself": (
        fields(deaths=("worker-1 exited with 1",)),
        {("process died", "worker-1 exited with 1")},
    ),
    **ALERTS,
}


def found(history: History) -> set[tuple[Rule, str]]:
    return {(violation.rule, violation.subject) for violation in check(history)}


def test_a_history_that_keeps_every_promise_has_no_violation() -> None:
    assert check(GOOD) == []


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_fault_is_named(name: str) -> None:
    plant, expected = PLANTED[name]
    assert found(plant(GOOD)) == expected


def test_every_rule_can_fail() -> None:
    assert {rule for _, expected in PLANTED.values() for rule, _ in expected} == set(get_args(Rule))


def test_reviews_of_all_sessions_are_named() -> None:
    messages = tuple(replace(message, outcome="REVIEW") for message in GOOD.messages)
    confirmed = {message.biz_id for message in GOOD.messages if not message.not_reconciled}
    assert found(replace(GOOD, messages=messages)) >= {("wrong outcome", biz_id) for biz_id in confirmed}


def test_a_history_without_alerts_is_named() -> None:
    missing = {("alert missing", alert.biz_id or "breaker_opened") for alert in GOOD.alerts}
    assert found(replace(GOOD, alerts=())) == missing


@pytest.mark.parametrize("name", FOUNDED)
def test_an_alert_with_its_cause_is_no_violation(name: str) -> None:
    assert check(FOUNDED[name](GOOD)) == []


def test_a_dead_letter_takes_the_place_of_a_decision() -> None:
    plant = both(
        without("messages", CANCELLED),
        changed("cases", CANCELLED, decision="", published="", notified=0),
        added("dead", StoredItem("item-2", CANCELLED, "poison")),
    )
    assert check(plant(GOOD)) == []


def test_a_burnt_budget_allows_a_decision_without_getresults_answer() -> None:
    assert check(UNCONFIRMED_PASS(GOOD)) == []


def test_a_burnt_budget_leaves_a_callback_undecided_that_says_nothing_yet() -> None:
    assert check(both(UNCONFIRMED_PASS, changed("messages", PASSED, outcome="UNDETERMINED"))(GOOD)) == []


def test_contradicting_callbacks_allow_a_review_that_names_the_mismatch() -> None:
    mismatch = frozenset({"FACE_MATCHED", "EVIDENCE_MISMATCH"})
    assert check(changed("messages", CONTRADICTED, outcome="REVIEW", reasons=mismatch)(GOOD)) == []


def test_on_another_broker_a_message_may_be_repeated_under_its_id() -> None:
    plant = both(added("messages", GOOD.messages[0]), added("alerts", GOOD.alerts[0]))
    assert check(replace(plant(GOOD), results_apart=True)) == []


def test_forged_callbacks_may_vanish_while_redis_is_full() -> None:
    full = added("injected", InjectedFault("fill-redis", "redis", 104.0, 106.0, 0))
    assert list(check(both(full, without("unverified", FORGED))(GOOD))) == []
    twice = both(full, added("unverified", *[StoredItem("item-9", FORGED, "bad_signature")] * 2))
    assert [violation.rule for violation in check(twice(GOOD))] == ["forged unaccounted"]
