from typing import Any

import fakeredis
import pytest
from redis import Redis

from console.dead_letters.commands import _require
from console.dead_letters.selection import Selection, size, survey
from console.terminal.errors import UsageError
from shared.ledger.message_set import MessageSet, put_commands
from tests.support.stored_messages import NOW, letter, unreadable

LETTERS = (letter(1), letter(2, reason="poison"), letter(3, stage="publish", account="other"), unreadable(4))


@pytest.fixture
def message_set() -> MessageSet:
    redis: Redis = fakeredis.FakeRedis()
    for stored in LETTERS:
        for command in put_commands("faceid", "dead", stored):
            redis.execute_command(*command)
    return MessageSet(redis, "faceid", "dead")


@pytest.mark.parametrize(
    ("filters", "ids"),
    [
        ({}, ["callbacks:4-0", "item-3", "item-2", "item-1"]),
        ({"stage": "reconcile"}, ["item-2", "item-1"]),
        ({"reason": "poison"}, ["item-2"]),
        ({"account": "other"}, ["item-3"]),
        ({"biz_id": "1795334000,case-1"}, ["item-1"]),
        ({"since": NOW - 120}, ["item-2", "item-1"]),
        ({"until": NOW - 180}, ["callbacks:4-0", "item-3"]),
        ({"stage": "reconcile", "until": NOW - 61}, ["item-2"]),
        ({"ids": ("item-1", "item-3", "item-1", "lost")}, ["item-1", "item-3"]),
        ({"ids": ("item-1", "item-3"), "account": "other"}, ["item-3"]),
        ({"ids": ("item-3",), "since": NOW - 61}, []),
    ],
)
def test_all_filters_must_fit(message_set: MessageSet, filters: dict[str, Any], ids: list[str]) -> None:
    assert [stored.id for stored in Selection(**filters).on(message_set)] == ids


def test_a_survey_counts_by_stage_and_reason_and_names_what_is_missing(message_set: MessageSet) -> None:
    found = survey(message_set, Selection(ids=("item-1", "lost", "callbacks:4-0", "lost")))

    assert found.kinds == {("reconcile", "error"): 1, ("verify", "undecodable"): 1}
    assert (found.total, found.missing) == (2, ["lost"])


@pytest.mark.parametrize(
    ("selection", "total"),
    [
        (Selection(), 4),
        (Selection(since=NOW - 120), 2),
        (Selection(stage="reconcile"), 2),
        (Selection(ids=("item-1",)), 1),
    ],
)
def test_its_size_is_known_whatever_is_selected(message_set: MessageSet, selection: Selection, total: int) -> None:
    assert size(message_set, selection).total == total


def test_a_selection_can_be_bounded_by_time_but_not_widened() -> None:
    assert Selection().up_to(5).until == 5
    assert Selection(until=4).up_to(5).until == 4


@pytest.mark.parametrize(("selection", "everything"), [(Selection(), False), (Selection(ids=("a",)), True)])
def test_all_has_to_be_asked_for_by_its_name_and_alone(selection: Selection, everything: bool) -> None:
    with pytest.raises(UsageError) as misused:
        _require(selection, everything)

    assert misused.value.exit_code == 2


@pytest.mark.parametrize(("selection", "everything"), [(Selection(), True), (Selection(reason="error"), False)])
def test_a_filter_or_all_is_enough(selection: Selection, everything: bool) -> None:
    _require(selection, everything)
