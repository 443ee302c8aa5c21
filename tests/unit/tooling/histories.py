"""A history without a violation, and ways to plant one in it."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from tests.chaos.history import (
    AlertMessage,
    Case,
    History,
    InjectedFault,
    Posted,
    ResultMessage,
    StoredItem,
    VendorSession,
)

PASSED, CANCELLED, SILENT, FORGED = "100,passed", "101,cancelled", "102,silent", "103,forged"
MADE_UP, UNCONFIRMED, REVISED = "104,made-up", "105,unconfirmed", "106,revised"
CONTRADICTED, BROKEN_DATA = "107,contradicted", "108,broken-data"
SPENT = "BUDGET_SPENT"
UNCONFIRMED_REASONS = frozenset({"FACE_MATCHED", "NOT_RECONCILED"})
FAILING = InjectedFault("failing-result", "vendor", 104, 108, calls=25)

GOOD = History(
    posted=(
        Posted(PASSED, "notify", "unfinished", 200, status="PROCESSING"),
        Posted(PASSED, "notify", "final", 503),
        Posted(PASSED, "notify", "final", "timeout"),
        Posted(PASSED, "notify", "final", 200),
        Posted(PASSED, "return", "final", 303),
        Posted(CANCELLED, "notify", "final", 200, status="CANCELLED"),
        Posted(SILENT, "return", "unsigned", 303),
        Posted(FORGED, "notify", "forged", 200),
        Posted(FORGED, "notify", "forged", "broken"),
        Posted(MADE_UP, "return", "unsigned", 303),
        Posted(UNCONFIRMED, "notify", "final", 200),
        Posted(REVISED, "notify", "final", 200),
        Posted(CONTRADICTED, "notify", "final", 200),
        Posted(CONTRADICTED, "notify", "final", 200, status="CANCELLED"),
        Posted(BROKEN_DATA, "notify", "final", 200),
    ),
    vendor_sessions=(
        VendorSession(PASSED, 3, True, "APPROVED"),
        VendorSession(CANCELLED, 1, True, "INCOMPLETE"),
        VendorSession(SILENT, 1, True, "APPROVED"),
        VendorSession(FORGED, 0, False, ""),
        VendorSession(UNCONFIRMED, 3, True, "APPROVED"),
        VendorSession(REVISED, 3, True, "APPROVED"),
        VendorSession(CONTRADICTED, 1, True, "APPROVED", "INCOMPLETE"),
        VendorSession(BROKEN_DATA, 1, True, "UNDETERMINED"),
    ),
    cases=(
        Case(PASSED, 3, 1, 3, True, "id-1", "id-1", answered=True),
        Case(CANCELLED, 1, 0, 1, True, "id-2", "id-2", answered=True),
        Case(SILENT, 0, 1, 2, False, "id-3", "id-3", answered=True),
        Case(MADE_UP, 0, 1, 0, False, "", ""),
        Case(UNCONFIRMED, 1, 0, 3, True, "id-5", "id-5"),
        Case(REVISED, 1, 0, 3, True, "id-6b", "id-6b", answered=True),
        Case(CONTRADICTED, 2, 0, 1, True, "id-7", "id-7", answered=True),
        Case(BROKEN_DATA, 1, 0, 1, True, "id-8", "id-8", answered=True),
    ),
    messages=(
        ResultMessage("id-1", PASSED, 1, None, "APPROVED", 110),
        ResultMessage("id-2", CANCELLED, 1, None, "INCOMPLETE", 111),
        ResultMessage("id-3", SILENT, 1, None, "APPROVED", 112),
        ResultMessage("id-5", UNCONFIRMED, 1, None, "REVIEW", 113, UNCONFIRMED_REASONS, SPENT),
        ResultMessage("id-6", REVISED, 1, None, "REVIEW", 114, UNCONFIRMED_REASONS, SPENT),
        ResultMessage("id-6b", REVISED, 2, "id-6", "APPROVED", 115),
        ResultMessage("id-7", CONTRADICTED, 1, None, "APPROVED", 116),
        ResultMessage("id-8", BROKEN_DATA, 1, None, "UNDETERMINED", 117, frozenset({"DATA_SOURCE_ERROR"})),
    ),
    alerts=(
        AlertMessage("alert-1", "breaker_opened", 105),
        AlertMessage("alert-2", "breaker_closed", 109),
        AlertMessage("alert-3", "budget_spent", 113, UNCONFIRMED),
        AlertMessage("alert-4", "budget_spent", 114, REVISED),
        AlertMessage("alert-5", "decision_superseded", 115, REVISED),
        AlertMessage("alert-6", "evidence_conflict", 116, CONTRADICTED),
        AlertMessage("alert-7", "data_source_error", 117, BROKEN_DATA),
    ),
    unverified=(StoredItem("item-1", FORGED, "bad_signature"),),
    waiting={"faceid.callbacks": 0, "faceid.callbacks, in work": 0, "delayed": 0},
    injected=(FAILING,),
)

Plant = Callable[[History], History]


def having(history: History, name: str, items: Iterable[Any]) -> History:
    """The history with these items in the field `name`."""
    fields: dict[str, Any] = {name: tuple(items)}
    return replace(history, **fields)


def without(name: str, subject: str) -> Plant:
    """Remove what the field `name` holds of that biz_id, or of that kind of alert."""

    def plant(history: History) -> History:
        found = getattr(history, name)
        return having(history, name, (one for one in found if subject not in {one.biz_id, getattr(one, "kind", "")}))

    return plant


def changed(name: str, subject: str, **values: Any) -> Plant:
    """Give what the field `name` holds of that biz_id these values."""

    def plant(history: History) -> History:
        found = getattr(history, name)
        return having(history, name, (replace(one, **values) if one.biz_id == subject else one for one in found))

    return plant


def added(name: str, *items: Any) -> Plant:
    """Add these items to the field `name`."""
    return lambda history: having(history, name, (*getattr(history, name), *items))


def fields(**values: Any) -> Plant:
    """Give the history's fields these values."""
    return lambda history: replace(history, **values)


def both(*plants: Plant) -> Plant:
    """One change after another."""

    def plant(history: History) -> History:
        for one in plants:
            history = one(history)
        return history

    return plant
