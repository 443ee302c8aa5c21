"""Stored messages survive dump and load, whatever bytes they hold."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.messaging.message import Message
from shared.messaging.stored_message import StoredMessage
from shared.messaging.topology import STAGES

words = st.text(max_size=30)
headers = st.dictionaries(words, words | st.integers() | st.floats(allow_nan=False))
messages = st.builds(Message, queue=words, body=st.binary(), content_type=words, headers=headers, topic=words)
stored_messages = st.builds(
    StoredMessage,
    id=st.text(min_size=1, max_size=30),
    stage=st.sampled_from(STAGES),
    reason=words,
    detail=words,
    at=st.floats(allow_nan=False, allow_infinity=False),
    attempts=st.integers(0, 10),
    account=words,
    biz_id=words,
    message=st.none() | messages,
    entry=st.lists(st.tuples(st.binary(), st.binary()), max_size=4).map(tuple),
)


@given(stored_messages)
def test_a_stored_message_survives_dump_and_load(stored: StoredMessage) -> None:
    assert StoredMessage.load(stored.dump()) == stored


@pytest.mark.parametrize("body", [bytes(range(256)), b"", b"\xff\xfe", "\u2028".encode()])
def test_a_body_survives_byte_for_byte(body: bytes) -> None:
    stored = StoredMessage("i", "verify", "error", "", 1.0, message=Message("q", body, "", {}))
    loaded = StoredMessage.load(stored.dump())
    assert loaded.message is not None
    assert loaded.message.body == body


def test_a_stored_message_is_json_that_other_programs_can_read() -> None:
    stored = StoredMessage(
        "i", "verify", "poison", "", 2.0, attempts=1, message=Message("q", b"\xe9", "text/plain", {"id": "i"})
    )
    assert json.loads(stored.dump()) == {
        "id": "i",
        "stage": "verify",
        "reason": "poison",
        "at": 2.0,
        "attempts": 1,
        "message": ["q", "é", "text/plain", {"id": "i"}],
    }
