"""What an answer of GetResult means: its error message decides, not its HTTP status."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.faceid.getresult_client import (
    MAX_ANSWER_BYTES,
    Answer,
    Answered,
    Failed,
    Refused,
    Unread,
    Unusable,
    interpret,
)


def answer(message: str, key: str = "error_message") -> bytes:
    return json.dumps({"request_id": "r", "time_used": 3, key: message}).encode()


TABLE: list[tuple[int, bytes, Answer]] = [
    (200, b'{"status": "OK"}', Answered(b'{"status": "OK"}')),
    (400, answer("RESULT_NOT_FOUND"), Refused("RESULT_NOT_FOUND")),
    (400, answer("MISSING_ARGUMENTS: biz_id"), Refused("MISSING_ARGUMENTS")),
    (400, answer("BAD_ARGUMENTS:biz_id"), Refused("BAD_ARGUMENTS")),
    (403, answer("AUTHENTICATION_ERROR"), Unread("AUTHENTICATION_ERROR")),
    (403, answer("AUTHORIZATION_ERROR:Denied by Client"), Unread("AUTHORIZATION_ERROR")),
    (403, answer("CONCURRENCY_LIMIT_EXCEEDED"), Unread("CONCURRENCY_LIMIT_EXCEEDED")),
    (403, answer("DATA_DESTROYED"), Refused("DATA_DESTROYED")),
    (404, answer("API_NOT_FOUND"), Unread("API_NOT_FOUND")),
    (500, answer("INTERNAL_ERROR"), Failed("INTERNAL_ERROR")),
    (502, b"<html>Bad Gateway</html>", Failed("HTTP_502")),
    (403, b"", Failed("HTTP_403")),
    (302, b"", Failed("HTTP_302")),
    (429, b"{}", Failed("HTTP_429")),
]


@pytest.mark.parametrize(("status", "body", "meaning"), TABLE)
def test_every_row_of_getresults_table_is_interpreted(status: int, body: bytes, meaning: Answer) -> None:
    assert interpret(status, body) == meaning


@pytest.mark.parametrize("key", ["error_message", "error", "ERROR"])
@pytest.mark.parametrize(("status", "body", "meaning"), TABLE)
def test_the_message_may_stand_under_another_name(key: str, status: int, body: bytes, meaning: Answer) -> None:
    assert interpret(status, body.replace(b"error_message", key.encode())) == meaning


def test_an_empty_error_message_is_skipped() -> None:
    assert interpret(403, b'{"error_message": "", "error": null, "ERROR": "DATA_DESTROYED"}') == Refused(
        "DATA_DESTROYED"
    )


@pytest.mark.parametrize("status", [400, 403, 404, 500, 418])
@pytest.mark.parametrize(("_status", "body", "meaning"), [row for row in TABLE if b"error_message" in row[1]])
def test_the_message_decides_and_not_the_code(status: int, _status: int, body: bytes, meaning: Answer) -> None:
    if status == 404 and isinstance(meaning, Failed):
        meaning = Unread("API_NOT_FOUND")
    assert interpret(status, body) == meaning


def test_a_404_without_a_message_is_a_wrong_base_url() -> None:
    assert interpret(404, b"<html>nginx</html>") == Unread("API_NOT_FOUND")


def test_the_body_of_a_200_is_kept_byte_for_byte() -> None:
    assert interpret(200, b"\xff not json") == Answered(b"\xff not json")


def test_a_200_with_an_error_message_is_that_error() -> None:
    assert interpret(200, answer("CONCURRENCY_LIMIT_EXCEEDED")) == Unread("CONCURRENCY_LIMIT_EXCEEDED")
    assert interpret(200, answer("DATA_DESTROYED", "ERROR")) == Refused("DATA_DESTROYED")


def test_a_200_whose_comparison_failed_is_a_result() -> None:
    result = json.dumps({"status": "OK", "verify_result": {"error_message": "NO_FACE_FOUND"}}).encode()
    assert interpret(200, result) == Answered(result)


def test_a_result_over_the_size_limit_is_unusable() -> None:
    assert interpret(200, b"x" * (MAX_ANSWER_BYTES + 1)) == Unusable("ANSWER_TOO_LARGE")
    assert isinstance(interpret(200, b"x" * MAX_ANSWER_BYTES), Answered)


@pytest.mark.parametrize(("status", "meaning"), [(500, Failed("HTTP_500")), (404, Unread("API_NOT_FOUND"))])
def test_an_error_over_the_size_limit_is_judged_by_its_status(status: int, meaning: Answer) -> None:
    large = answer("DATA_DESTROYED").ljust(MAX_ANSWER_BYTES + 1)
    assert interpret(status, large) == meaning


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, 0),
        ("", 0),
        ("7", 7),
        ("99999", 3600),
        ("9" * 5000, 3600),
        ("-7", 0),
        ("1.5", 0),
        ("Wed, 21 Oct 2026 07:28:00 GMT", 0),
        ("²", 0),
        ("٣", 3),
    ],
)
def test_retry_after_is_read_in_whole_seconds(header: str | None, seconds: float) -> None:
    assert interpret(403, answer("CONCURRENCY_LIMIT_EXCEEDED"), header) == Unread("CONCURRENCY_LIMIT_EXCEEDED", seconds)


@pytest.mark.parametrize(
    "body", [b"[]", b"7", b'"DATA_DESTROYED"', b"\xff", b"[" * 100_000, b'{"error_message": ["DATA_DESTROYED"]}']
)
def test_an_error_message_inside_a_result_is_ignored(body: bytes) -> None:
    assert interpret(500, body) == Failed("HTTP_500")


@given(st.text())
def test_an_error_code_that_is_no_word_is_dropped(message: str) -> None:
    verdict = interpret(500, answer(message))
    assert not isinstance(verdict, Answered)
    assert verdict.code.replace("_", "").isalnum()
    assert len(verdict.code) <= 64


@given(st.integers(100, 599), st.binary(), st.none() | st.text())
def test_no_answer_raises(status: int, body: bytes, retry_after: str | None) -> None:
    interpret(status, body, retry_after)
