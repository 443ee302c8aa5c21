import json
from collections import Counter
from hashlib import sha256

import pytest
from rich.console import Console

from console.dead_letters.rendering import as_table, details, name_and_value_lines, print_counts, summary
from console.dead_letters.selection import Kind
from tests.support.stored_messages import NOW, SECRET_TEXT, dead_letter, unreadable


def test_a_summary_holds_no_personal_data() -> None:
    record = summary(dead_letter(2), NOW)

    assert record == {
        "id": "item-2",
        "stage": "reconcile",
        "reason": "error",
        "detail": "KeyError at stages.py:9 in run",
        "account": "default",
        "biz_id": "1795334000,case-2",
        "at": "2026-11-22T07:58:00.000Z",
        "age_seconds": 120.0,
        "attempts": 7,
    }


def test_details_hide_the_message_and_show_its_length() -> None:
    record = details(dead_letter(), NOW, reveal=False)

    assert record["body"] == f"[hidden, {len(SECRET_TEXT)} bytes]"
    assert record["headers"] == {
        "id": "item-1",
        "account": "default",
        "channel": "notify",
        "method": "POST",
        "attempts": 7,
        "query": "[hidden, 13 characters]",
    }
    assert "person" not in json.dumps(record)


def test_details_show_the_message_with_reveal() -> None:
    record = details(dead_letter(), NOW, reveal=True)

    assert (record["body"], record["headers"]["query"]) == (SECRET_TEXT.decode(), "token=private")


def test_details_of_a_body_of_which_only_the_first_part_is_kept_say_so() -> None:
    record = details(dead_letter().shortened(10), NOW, reveal=False)

    assert record["body"] == f"[hidden, the first 10 of {len(SECRET_TEXT)} bytes]"
    assert (record["body_bytes"], record["body_sha256"]) == (len(SECRET_TEXT), sha256(SECRET_TEXT).hexdigest())
    assert details(dead_letter().shortened(10), NOW, reveal=True)["body"] == SECRET_TEXT[:10].decode()


def test_an_unknown_header_is_hidden() -> None:
    stored = dead_letter()
    assert stored.message is not None
    headers = {**stored.message.headers, "name": "Jane Doe", "query": ""}
    stored = dead_letter(message=type(stored.message)("q", b"", "", headers))

    assert details(stored, NOW, reveal=False)["headers"]["name"] == "[hidden, 8 characters]"
    assert details(stored, NOW, reveal=False)["headers"]["query"] == ""


def test_an_entry_that_could_not_be_read_is_shown_field_by_field() -> None:
    assert details(unreadable(), NOW, reveal=False)["entry"] == {"foo": "[hidden, 9 bytes]", "bar": "[hidden, 0 bytes]"}
    assert details(unreadable(), NOW, reveal=True)["entry"] == {"foo": "private \\xff", "bar": ""}


def test_nested_details_are_indented() -> None:
    assert list(name_and_value_lines({"a": 1, "b": {"c": 2}})) == [("a", "1"), ("b", ""), ("  c", "2")]


def test_the_table_has_a_row_for_each_item_with_its_age() -> None:
    console = Console(width=200)
    with console.capture() as captured:
        console.print(as_table([dead_letter(1), dead_letter(2, detail="[bold]\x1b[2J")], NOW))

    _, first, second = captured.get().splitlines()
    assert first.split()[0] == "item-1"
    assert "1m" in first
    assert "[bold]\\x1b[2J" in second


def test_counts_start_with_the_most_frequent(capsys: pytest.CaptureFixture[str]) -> None:
    kinds: Counter[Kind] = Counter({("verify", "undecodable"): 1, ("reconcile", "error"): 12_000})

    print_counts("dead", kinds)

    assert [line.split() for line in capsys.readouterr().out.splitlines()] == [
        ["12,000", "reconcile:", "error"],
        ["1", "verify:", "undecodable"],
        ["12,001", "dead", "letters", "in", "all"],
    ]
