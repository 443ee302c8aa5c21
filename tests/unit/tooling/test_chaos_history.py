"""The checker of histories can fail: it names every fault that is planted in a history without one."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, get_args

import pytest

from tests.chaos.check import Rule, check
from tests.chaos.history import Case, History, Letter, Posted, ResultMessage, Seen

PASSED, CANCELLED, SILENT, FORGED, MADE_UP = "1,passed", "2,cancelled", "3,silent", "4,forged", "5,made-up"

GOOD = History(
    posted=(
        Posted(PASSED, "notify", "unfinished", 200),
        Posted(PASSED, "notify", "final", 503),
        Posted(PASSED, "notify", "final", "timeout"),
        Posted(PASSED, "notify", "final", 200),
        Posted(PASSED, "return", "final", 303),
        Posted(CANCELLED, "notify", "final", 200),
        Posted(SILENT, "return", "hint", 303),
        Posted(FORGED, "notify", "forged", 200),
        Posted(FORGED, "notify", "forged", "broken"),
        Posted(MADE_UP, "return", "hint", 303),
    ),
    seen=(
        Seen(PASSED, 3, True, frozenset({"APPROVED", "REVIEW"})),
        Seen(CANCELLED, 1, True, frozenset({"INCOMPLETE", "REVIEW"})),
        Seen(SILENT, 1, True, frozenset({"APPROVED", "REVIEW"})),
        Seen(FORGED, 0, False, frozenset()),
    ),
    cases=(
        Case(PASSED, 3, 1, 3, True, "id-1", "id-1"),
        Case(CANCELLED, 1, 0, 1, True, "id-2", "id-2"),
        Case(SILENT, 0, 1, 2, False, "id-3", "id-3"),
        Case(MADE_UP, 0, 1, 0, False, "", ""),
    ),
    messages=(
        ResultMessage("id-1", PASSED, 1, None, "APPROVED", 1.0),
        ResultMessage("id-2", CANCELLED, 1, None, "INCOMPLETE", 2.0),
        ResultMessage("id-3", SILENT, 1, None, "APPROVED", 3.0),
    ),
    alerts=("alert-1",),
    unverified=(Letter("item-1", FORGED, "bad_signature"),),
    waiting={"faceid.callbacks": 0, "faceid.callbacks, in work": 0, "delayed": 0},
)

Plant = Callable[[History], History]


def having(history: History, name: str, items: Iterable[Any]) -> History:
    """The history with these items in the field `name`."""
    fields: dict[str, Any] = {name: tuple(items)}
    return replace(history, **fields)


def without(name: str, subject: str) -> Plant:
    """The history with nothing of that biz_id in the field `name`."""
    return lambda history: having(history, name, (one for one in getattr(history, name) if one.biz_id != subject))


def changed(name: str, subject: str, **values: Any) -> Plant:
    """The history with these values in what the field `name` holds of that biz_id."""

    def plant(history: History) -> History:
        found = getattr(history, name)
        return having(history, name, (replace(one, **values) if one.biz_id == subject else one for one in found))

    return plant


def added(name: str, *items: Any) -> Plant:
    """The history with these items more in the field `name`."""
    return lambda history: having(history, name, (*getattr(history, name), *items))


def both(*plants: Plant) -> Plant:
    """One change after another."""

    def plant(history: History) -> History:
        for one in plants:
            history = one(history)
        return history

    return plant


PLANTED: dict[str, tuple[Plant, set[tuple[Rule, str]]]] = {
    "an accepted callback without a trace": (
        both(*(without(name, CANCELLED) for name in ("messages", "cases", "seen"))),
        {("lost", CANCELLED), ("arrival lost", CANCELLED)},
    ),
    "a case whose carrier has gone": (
        both(
            without("messages", PASSED),
            changed("cases", PASSED, decision="", published=""),
            changed("posted", PASSED, answer=503),
        ),
        {("stranded", PASSED)},
    ),
    "a second decision": (
        added("messages", ResultMessage("id-9", PASSED, 1, None, "APPROVED", 4.0)),
        {("decided twice", PASSED), ("uncommitted", PASSED)},
    ),
    "a revision that supersedes nothing": (
        both(
            added("messages", ResultMessage("id-9", PASSED, 2, None, "APPROVED", 4.0)),
            changed("cases", PASSED, decision="id-9", published="id-9"),
        ),
        {("decided twice", PASSED)},
    ),
    "a message published again": (
        added("messages", GOOD.messages[0]),
        {("message twice", PASSED)},
    ),
    "a repeat that says something else": (
        both(
            added("messages", replace(GOOD.messages[0], outcome="REVIEW")),
            lambda history: replace(history, results_apart=True),
        ),
        {("message twice", PASSED)},
    ),
    "an alert published again": (
        added("alerts", "alert-1"),
        {("message twice", "alert-1")},
    ),
    "a decision on a made-up biz_id": (
        both(
            added("messages", ResultMessage("id-5", MADE_UP, 1, None, "APPROVED", 4.0)),
            changed("cases", MADE_UP, decision="id-5", published="id-5"),
        ),
        {("no evidence", MADE_UP)},
    ),
    "a decision on a forged callback": (
        both(
            added("messages", ResultMessage("id-4", FORGED, 1, None, "APPROVED", 4.0)),
            added("cases", Case(FORGED, 0, 0, 0, True, "id-4", "id-4")),
        ),
        {("no evidence", FORGED), ("wrong outcome", FORGED)},
    ),
    "a decision on a hint whose result was never read": (
        changed("seen", SILENT, reads=0),
        {("no evidence", SILENT)},
    ),
    "an approval of somebody who has cancelled": (
        changed("messages", CANCELLED, outcome="APPROVED"),
        {("wrong outcome", CANCELLED)},
    ),
    "a fourth read": (
        both(changed("seen", PASSED, reads=4), changed("cases", PASSED, reads=4)),
        {("over budget", PASSED)},
    ),
    "a last read that was spent on a hint": (
        both(changed("seen", SILENT, reads=3), changed("cases", SILENT, reads=3)),
        {("over budget", SILENT)},
    ),
    "a read behind the ledger's back": (
        changed("seen", CANCELLED, reads=2),
        {("read uncounted", CANCELLED)},
    ),
    "a notify that its case has not heard of": (
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
        changed("cases", PASSED, decision="", published="", carried=False),
        {("uncommitted", PASSED)},
    ),
    "a decision that never left": (
        both(without("messages", SILENT), changed("cases", SILENT, published="")),
        {("unpublished", SILENT)},
    ),
    "a mark without its message": (
        without("messages", SILENT),
        {("unpublished", SILENT)},
    ),
    "a dead letter for a fault of ours": (
        both(
            without("messages", CANCELLED),
            changed("cases", CANCELLED, decision="", published=""),
            added("dead", Letter("item-2", CANCELLED, "error")),
        ),
        {("unexplained dead letter", CANCELLED)},
    ),
    "a forged callback that has vanished": (
        without("unverified", FORGED),
        {("forged unaccounted", FORGED)},
    ),
    "a genuine callback taken for a forged one": (
        added("unverified", Letter("item-2", PASSED, "bad_signature")),
        {("forged unaccounted", PASSED)},
    ),
    "an item that waits for ever": (
        lambda history: replace(history, waiting={"faceid.verified": 0, "delayed": 1}),
        {("pending", "delayed")},
    ),
    "a process that died by itself": (
        added("deaths", "worker-1 exited with 1"),
        {("process died", "worker-1 exited with 1")},
    ),
}


def test_a_history_in_which_all_was_kept_has_no_violation() -> None:
    assert check(GOOD) == []


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_fault_is_named(name: str) -> None:
    plant, expected = PLANTED[name]
    assert {(violation.rule, violation.subject) for violation in check(plant(GOOD))} == expected


def test_every_rule_can_fail() -> None:
    assert {rule for _, expected in PLANTED.values() for rule, _ in expected} == set(get_args(Rule))


def test_a_dead_letter_of_its_own_takes_the_place_of_a_decision() -> None:
    plant = both(
        without("messages", CANCELLED),
        changed("cases", CANCELLED, decision="", published="", notified=0),
        added("dead", Letter("item-2", CANCELLED, "poison")),
    )
    assert check(plant(GOOD)) == []


def test_a_revision_may_supersede_the_one_before_it() -> None:
    plant = both(
        added("messages", ResultMessage("id-9", PASSED, 2, "id-1", "REVIEW", 4.0)),
        changed("cases", PASSED, decision="id-9", published="id-9"),
    )
    assert check(plant(GOOD)) == []


def test_on_a_broker_apart_a_message_may_come_again_under_its_id() -> None:
    plant = both(added("messages", GOOD.messages[0]), added("alerts", "alert-1"))
    assert check(replace(plant(GOOD), results_apart=True)) == []
