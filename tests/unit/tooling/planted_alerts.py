"""Alerts that are missing, unfounded or doubled, each planted in a good history."""

from dataclasses import replace

from tests.chaos.history import AlertMessage, InjectedFault, Posted, StoredItem
from tests.chaos.violation import Rule
from tests.unit.tooling.histories import (
    BROKEN_DATA,
    CANCELLED,
    CONTRADICTED,
    FAILING,
    GOOD,
    PASSED,
    REVISED,
    UNCONFIRMED,
    Plant,
    added,
    both,
    changed,
    fields,
    without,
)

ALERTS: dict[str, tuple[Plant, set[tuple[Rule, str]]]] = {
    "an alert published again": (
        added("alerts", GOOD.alerts[0]),
        {("message twice", "alert-1")},
    ),
    "contradicting callbacks without an alert": (
        without("alerts", CONTRADICTED),
        {("alert missing", CONTRADICTED)},
    ),
    "a conflict that no callback gives reason to": (
        added("alerts", AlertMessage("alert-9", "evidence_conflict", 110, PASSED)),
        {("alert unfounded", PASSED)},
    ),
    "a second alert of one conflict": (
        added("alerts", AlertMessage("alert-9", "evidence_conflict", 118, CONTRADICTED)),
        {("alert unfounded", CONTRADICTED)},
    ),
    "a revision with another outcome without an alert": (
        without("alerts", "decision_superseded"),
        {("alert missing", REVISED)},
    ),
    "a superseded decision that was not superseded": (
        added("alerts", AlertMessage("alert-9", "decision_superseded", 110, CANCELLED)),
        {("alert unfounded", CANCELLED)},
    ),
    "a spent budget without an alert": (
        without("alerts", UNCONFIRMED),
        {("alert missing", UNCONFIRMED)},
    ),
    "a spent budget of a case that has its answer": (
        added("alerts", AlertMessage("alert-9", "budget_spent", 110, PASSED)),
        {("alert unfounded", PASSED)},
    ),
    "broken data at the vendor without an alert": (
        without("alerts", BROKEN_DATA),
        {("alert missing", BROKEN_DATA)},
    ),
    "broken data that no decision names": (
        changed("messages", BROKEN_DATA, reasons=frozenset({"EVIDENCE_LOST"})),
        {("alert unfounded", BROKEN_DATA)},
    ),
    "failing calls that open no breaker": (
        both(without("alerts", "breaker_opened"), without("alerts", "breaker_closed")),
        {("alert missing", "breaker_opened")},
    ),
    "a breaker that closes without an alert": (
        without("alerts", "breaker_closed"),
        {("alert missing", "breaker_closed")},
    ),
    "a closed breaker while it is still open": (
        fields(breaker_open=True),
        {("alert unfounded", "breaker_closed")},
    ),
    "a breaker that opens though no call fails": (
        fields(injected=(InjectedFault("kill-worker", "worker-1", 104, 108),)),
        {("alert unfounded", "breaker_opened")},
    ),
    "a breaker that opens long after the calls have failed": (
        fields(
            injected=(replace(FAILING, began=50, ended=54, calls=5), InjectedFault("kill-redis", "redis", 104, 108))
        ),
        {("alert unfounded", "breaker_opened")},
    ),
    "attacks that never were": (
        added("alerts", AlertMessage("alert-9", "attack_rate", 110)),
        {("alert unfounded", "attack_rate")},
    ),
    "a rate of bad signatures without forged callbacks": (
        added("alerts", AlertMessage("alert-9", "bad_signature_rate", 110)),
        {("alert unfounded", "bad_signature_rate")},
    ),
    "growing dead letters without dead letters": (
        added("alerts", AlertMessage("alert-9", "dead_letters_growing", 110)),
        {("alert unfounded", "dead_letters_growing")},
    ),
    "an old backlog in a short run": (
        added("alerts", AlertMessage("alert-9", "backlog_age", 110)),
        {("alert unfounded", "backlog_age")},
    ),
    "an alert of an unknown kind": (
        added("alerts", AlertMessage("alert-9", "earthquake", 110)),
        {("alert unfounded", "earthquake")},
    ),
}

FOUNDED: dict[str, Plant] = {
    "a rate of bad signatures after twenty forged callbacks": both(
        added("posted", *[Posted("109,many", "notify", "forged", 200)] * 20),
        added("unverified", *[StoredItem("item-9", "109,many", "bad_signature")] * 20),
        added("alerts", AlertMessage("alert-9", "bad_signature_rate", 110)),
    ),
    "a breaker that is still open": both(without("alerts", "breaker_closed"), fields(breaker_open=True)),
    "few failing calls that open no breaker": both(
        without("alerts", "breaker_opened"),
        without("alerts", "breaker_closed"),
        fields(injected=(replace(FAILING, calls=9),)),
    ),
    "failing calls that open no breaker while workers are killed": both(
        without("alerts", "breaker_opened"),
        without("alerts", "breaker_closed"),
        added("injected", InjectedFault("kill-worker", "worker-1", 105, 106)),
    ),
    "a contradicting callback that was stored though its sender got no answer": changed(
        "posted", CONTRADICTED, answer="timeout"
    ),
}
"""What must not be called a violation."""
