"""Items of message sets for the tests of the console."""

from typing import Any

from shared.messaging.message import Message
from shared.messaging.stored_message import StoredMessage

NOW = 1_795_334_400.0
SECRET_TEXT = b"data=a+person%27s+evidence&sign=0123"


def dead_letter(number: int = 1, **fields: Any) -> StoredMessage:
    """A dead letter of a known case, a minute old for each number."""
    headers: dict[str, str | int | float] = {"id": f"item-{number}", "account": "default", "channel": "notify"}
    headers |= {"method": "POST", "attempts": 7, "query": "token=private"}
    known: dict[str, Any] = {
        "id": f"item-{number}",
        "stage": "reconcile",
        "reason": "error",
        "detail": "KeyError at stages.py:9 in run",
        "at": NOW - 60 * number,
        "attempts": 7,
        "account": "default",
        "biz_id": f"1795334000,case-{number}",
        "message": Message("faceid.verified", SECRET_TEXT, "application/json", headers),
    }
    return StoredMessage(**(known | fields))


def unreadable(number: int = 9, **fields: Any) -> StoredMessage:
    """A dead letter that holds a stream entry which could not be read."""
    known: dict[str, Any] = {
        "id": f"callbacks:{number}-0",
        "stage": "verify",
        "reason": "undecodable",
        "detail": "body: missing",
        "at": NOW - 60 * number,
        "entry": ((b"foo", b"private \xff"), (b"bar", b"")),
    }
    return StoredMessage(**(known | fields))
