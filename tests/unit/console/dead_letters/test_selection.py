from typing import Any

import fakeredis
import pytest
from redis import Redis

from console.dead_letters.selection import Selection, count, count_by_kind, select
from console.terminal.errors import UsageError
from shared.ledger.message_set import MessageSet, put_commands
from tests.support.stored_messages import NOW, dead_letter, unreadable

DEAD_LETTERS = (
    dead_letter(1),
    dead_letter(2, reason="poison"),
    dead_letter(3, stage="publish", account="other"),
    unreadable(4),
)


@pytest.fixture
def message_set() -> MessageSet:
    redis: Redis = fakeredis.FakeRedis()
    for stored in DEAD_LETTERS:
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
def test_an_item_is_selected_when_it_passes_all_filters(
    message_set: MessageSet, filters: dict[str, Any], ids: list[str]
) -> None:
    assert [stored.id for stored in Selection(**filters).find(message_set)] == ids


def test_items_are_counted_by_stage_and_reason_and_missing_ids_are_named(message_set: MessageSet) -> None:
    found = count_by_kind(message_set, Selection(ids=("item-1", "lost", "callbacks:4-0", "lost")))

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
def test_the_number_of_selected_items_is_counted(message_set: MessageSet, selection: Selection, total: int) -> None:
    assert count(message_set, selection).total == total


def test_up_to_makes_a_selection_smaller_but_never_larger() -> None:
    assert Selection().up_to(5).until == 5
    assert Selection(until=4).up_to(5).until == 4


@pytest.mark.parametrize(("selection", "everything"), [(Selection(), False), (Selection(ids=("a",)), True)])
def test_a_selection_needs_filters_or_all_and_not_both(selection: Selection, everything: bool) -> None:
    with pytest.raises(UsageError) as error:
        selection.require(everything)

    assert error.value.exit_code == 2


@pytest.mark.parametrize(("selection", "everything"), [(Selection(), True), (Selection(reason="error"), False)])
def test_a_filter_or_all_is_enough(selection: Selection, everything: bool) -> None:
    assert selection.require(everything) is selection


def test_options_that_are_not_given_select_everything() -> None:
    assert select(None, None, None, None, None, None, None) == Selection()
    assert select(["a"], "verify", None, None, None, 0.0, None) == Selection(ids=("a",), stage="verify", since=0.0)


def test_a_reason_that_no_item_can_have_is_refused_with_the_ones_that_exist() -> None:
    with pytest.raises(UsageError) as error:
        Selection(reason="nope").within("unverified")
    assert error.value.lines == ("The reasons are bad_signature, malformed, stale.",)
    assert Selection(reason="poison").within("dead") == Selection(reason="poison")
