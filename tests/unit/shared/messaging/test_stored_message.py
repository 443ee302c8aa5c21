"""Stored messages survive dump and load, whatever bytes they hold."""

import json
from dataclasses import replace
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.messaging.errors import Undecodable
from shared.messaging.message import Message
from shared.messaging.stored_message import MAX_RAW, StoredMessage
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


def test_a_stored_message_is_a_line_of_json_and_the_body_as_it_is() -> None:
    stored = StoredMessage(
        "i", "verify", "poison", "", 2.0, attempts=1, message=Message("q", b"\xe9\n", "text/plain", {"id": "i"})
    )
    head, _, body = stored.dump().partition(b"\n")
    assert json.loads(head) == {
        "v": 2,
        "id": "i",
        "stage": "verify",
        "reason": "poison",
        "at": 2.0,
        "attempts": 1,
        "message": {"queue": "q", "content_type": "text/plain", "headers": {"id": "i"}},
    }
    assert body == b"\xe9\n"


def test_a_body_of_any_bytes_takes_no_more_than_its_length() -> None:
    body = bytes(range(256)) * 1024
    assert len(StoredMessage("i", "verify", "malformed", "", 1.0, message=Message("q", body, "", {})).dump()) < (
        len(body) + 200
    )


def test_a_message_in_the_former_form_is_read() -> None:
    former = (
        b'{"id":"i","stage":"verify","reason":"poison","at":2.0,"message":["q","\\u00e9a\\u0000","text/plain",{"n":1}]}'
    )
    message = Message("q", b"\xe9a\x00", "text/plain", {"n": 1})
    assert StoredMessage.load(former) == StoredMessage("i", "verify", "poison", "", 2.0, message=message)
    with_topic = former.replace(b"]}", b',"decision.a"]}')
    assert StoredMessage.load(with_topic).message == replace(message, topic="decision.a")


def test_an_entry_in_the_former_form_is_read() -> None:
    former = b'{"id":"i","stage":"verify","reason":"undecodable","at":2.0,"entry":[["body","\\u00ff"],["b",""]]}'
    stored = StoredMessage("i", "verify", "undecodable", "", 2.0, entry=((b"body", b"\xff"), (b"b", b"")))
    assert StoredMessage.load(former) == stored


def test_a_body_over_the_limit_is_shortened_and_keeps_its_length_and_digest() -> None:
    stored = StoredMessage("i", "verify", "malformed", "", 2.0, message=Message("q", b"abcdef", "", {}))
    short = stored.shortened(4)
    assert short.message == Message("q", b"abcd", "", {})
    assert (short.body_bytes, short.body_sha256) == (6, sha256(b"abcdef").hexdigest())
    assert StoredMessage.load(short.dump()) == short


def test_a_body_within_the_limit_stays_as_it_is() -> None:
    stored = StoredMessage("i", "verify", "malformed", "", 2.0, message=Message("q", b"abcd", "", {}))
    assert stored.shortened(4) == stored
    assert stored.body_bytes == 0


def test_unknown_fields_are_kept() -> None:
    stored = StoredMessage.load(b'{"id":"i","stage":"verify","at":1,"region":{"a":1}}')
    assert stored.others == {"region": {"a": 1}}
    assert json.loads(stored.dump())["region"] == {"a": 1}


@pytest.mark.parametrize(
    "raw", [b"", b"\xff", b"null", b'{"v":3,"id":"i","stage":"verify"}', b'{"id":"i","stage":"x"}']
)
def test_what_is_no_stored_message_is_undecodable(raw: bytes) -> None:
    with pytest.raises(Undecodable):
        StoredMessage.load(raw)


def test_a_dead_letter_keeps_the_first_bytes_of_what_cannot_be_read_and_where_it_was() -> None:
    unreadable = StoredMessage.unreadable("i", "verify", b"{" * (MAX_RAW + 1), Undecodable("not JSON"))
    letter = StoredMessage.load(unreadable.dead_letter("delayed").dump())
    assert (letter.id, letter.reason, letter.detail) == ("delayed:i", "undecodable", "not JSON")
    assert letter.origin == ("delayed", "i", b"{" * MAX_RAW)
    assert letter.body_bytes == MAX_RAW + 1, "so it is not replayed"
