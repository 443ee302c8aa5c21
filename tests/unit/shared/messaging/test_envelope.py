"""The envelope: it survives a message unchanged; a message that is no envelope is undecodable."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.messaging.envelope import Envelope
from shared.messaging.errors import Undecodable
from shared.messaging.message import Message

HEADERS = {"id": "a1", "account": "default", "channel": "notify", "method": "POST", "received_at": 1.5}

envelopes = st.builds(
    Envelope,
    id=st.uuids().map(lambda uuid: uuid.hex),
    account=st.from_regex(r"[A-Za-z0-9_-]{1,64}", fullmatch=True),
    channel=st.sampled_from(["notify", "return"]),
    method=st.sampled_from(["POST", "GET"]),
    received_at=st.floats(0, 1e11),
    body=st.binary(),
    content_type=st.text(st.characters(max_codepoint=255)),
    query=st.text(st.characters(max_codepoint=255)),
    attempts=st.integers(0, 100),
    biz_id=st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=128),
)


def travelled(message: Message) -> Envelope:
    """Read from a message whose headers were JSON in between, as on a broker."""
    return Envelope.read(json.loads(json.dumps(dict(message.headers))), message.content_type, message.body)


@given(envelopes)
def test_an_envelope_survives_a_message_unchanged(envelope: Envelope) -> None:
    message = envelope.to_message("faceid.callbacks")
    assert message.queue == "faceid.callbacks"
    assert travelled(message) == envelope


def test_the_next_stage_gets_a_new_body_no_query_and_no_failed_attempts() -> None:
    before = Envelope("i", "a", "return", "POST", 1.0, b"form", "text/plain", "q=1", attempts=3)
    after = before.advanced(b"{}", "1,a")
    assert after == Envelope("i", "a", "return", "POST", 1.0, b"{}", "application/json", "", 0, "1,a")


@pytest.mark.parametrize("name", sorted(HEADERS))
def test_a_missing_header_is_undecodable(name: str) -> None:
    headers = {key: value for key, value in HEADERS.items() if key != name}
    with pytest.raises(Undecodable, match=r"^headers: "):
        Envelope.read(headers, "", b"")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("id", ""),
        ("id", 7),
        ("id", ["x"]),
        ("id", "\ud800"),
        ("account", None),
        ("account", "line\nbreak"),
        ("channel", "pigeon"),
        ("channel", {"a": 1}),
        ("method", "PUT"),
        ("biz_id", 5),
        ("biz_id", "\udfff"),
        ("received_at", "soon"),
        ("received_at", None),
        ("received_at", float("nan")),
        ("received_at", float("inf")),
        ("received_at", [1]),
        ("attempts", "many"),
        ("attempts", float("inf")),
        ("attempts", None),
    ],
)
def test_an_invalid_header_is_undecodable_and_the_error_does_not_quote_it(name: str, value: Any) -> None:
    with pytest.raises(Undecodable) as fault:
        Envelope.read({**HEADERS, name: value}, "", b"")
    assert name in str(fault.value)
    assert not value or str(value) not in str(fault.value).removeprefix("headers: ").partition(" ")[2]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(exclude_categories=())),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(), inner, max_size=2),
    max_leaves=3,
)


@given(st.dictionaries(st.sampled_from([*HEADERS, "attempts", "query", "biz_id"]), json_values))
def test_whatever_the_headers_hold_reading_raises_only_undecodable(headers: dict[str, Any]) -> None:
    with suppress(Undecodable):
        Envelope.read({**HEADERS, **headers}, "", b"")


def test_headers_of_a_newer_version_stay_on_the_item_through_the_stages() -> None:
    read = Envelope.read({**HEADERS, "region": "eu", "x-broker": "no"}, "", b"")
    assert read.others == {"region": "eu"}
    message = read.advanced(b"{}", "1,a").to_message("q")
    assert message.headers["region"] == "eu"
    assert "x-broker" not in message.headers


@pytest.mark.parametrize("version", [2, 99, "1", 0, True])
def test_an_envelope_of_another_version_is_undecodable(version: Any) -> None:
    with pytest.raises(Undecodable, match="version"):
        Envelope.read({**HEADERS, "v": version}, "", b"")


def test_the_repr_of_an_envelope_contains_nothing_of_the_request() -> None:
    shown = repr(
        Envelope("a1", "default", "notify", "POST", 1.5, b"hunter2", "hunter2", "hunter2", others={"x": "hunter2"})
    )
    assert shown == "<Envelope a1 default notify >"
