"""Verification: who signed an arrival, which case it belongs to, and what is refused."""

import json
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.messaging.envelope import Envelope
from shared.settings import Settings
from tests.support.length_extension import extended, padding
from tests.support.payloads import (
    BIZ_ID,
    CALLBACKS,
    FORM,
    OFFICIAL,
    SECRET,
    SIGNATURES,
    new_envelope,
    posted,
    returned,
    signed,
)
from tests.unit.workers.faceid.test_form import BOUNDARY, MULTIPART, multipart
from workers.faceid.verification import Unverified, VerifiedArrival, sign, verify


def refused(envelope: Envelope, secrets: list[str]) -> Unverified:
    with pytest.raises(Unverified) as raised:
        verify(envelope, secrets)
    return raised.value


@pytest.mark.parametrize(
    "vector", [vector for vector in SIGNATURES if vector["valid"]], ids=lambda vector: vector["name"]
)
def test_a_valid_vector_is_verified(vector: dict[str, Any]) -> None:
    verified = verify(posted(vector["body"].encode()), [vector["secret"]])
    assert (verified.data, verified.secret) == (vector["data"], 0)
    assert verified.callback is not None
    assert verified.biz_id == verified.callback.biz_id


@pytest.mark.parametrize(
    "vector", [vector for vector in SIGNATURES if not vector["valid"]], ids=lambda vector: vector["name"]
)
def test_an_invalid_vector_has_a_bad_signature(vector: dict[str, Any]) -> None:
    assert refused(posted(vector["body"].encode()), [vector["secret"]]).reason == "bad_signature"


@pytest.mark.parametrize("name", CALLBACKS)
@pytest.mark.parametrize("ascii_only", [True, False])
def test_every_payload_is_verified_in_both_non_ascii_forms(name: str, ascii_only: bool) -> None:
    text = json.dumps({**CALLBACKS[name], "note": "张三"}, ensure_ascii=ascii_only)
    assert verify(signed(text), [SECRET]).biz_id == BIZ_ID


def test_a_multipart_callback_is_verified() -> None:
    body = multipart(("data", OFFICIAL["data"].encode()), ("sign", OFFICIAL["sign"].encode()))
    assert verify(posted(body, MULTIPART), [SECRET]).biz_id == BIZ_ID


@pytest.mark.parametrize("channel", ["notify", "return"])
def test_a_post_is_signed_on_either_channel(channel: Any) -> None:
    envelope = new_envelope("default", channel, "POST", OFFICIAL["body"].encode(), FORM, "biz_id=other", 0.0)
    assert verify(envelope, [SECRET]).biz_id == BIZ_ID
    assert refused(envelope, ["another secret"]).reason == "bad_signature"


def test_the_index_of_the_matching_secret_is_kept() -> None:
    assert verify(signed(OFFICIAL["data"], "old"), ["new", "old"]).secret == 1


def test_another_accounts_secret_does_not_verify_a_callback() -> None:
    assert refused(signed(OFFICIAL["data"], "theirs"), ["ours"]).reason == "bad_signature"


def test_without_secrets_nothing_is_verified() -> None:
    assert refused(signed(OFFICIAL["data"], ""), [""]).reason == "bad_signature"
    assert refused(signed(OFFICIAL["data"]), []).reason == "bad_signature"


@pytest.mark.parametrize(
    "body",
    [
        b"", b"hello", b"data=%7B%7D", b"sign=" + b"0" * 40, b"data=1&data=1&sign=2", b"data=1&sign=2&sign=2",
        b"data=%&sign=1", b"\x1f\x8b\x08\x00" + b"\x00" * 20, b'{"data": "{}", "sign": "x"}',
    ],
)  # fmt: skip
def test_a_body_that_is_no_form_is_malformed(body: bytes) -> None:
    assert refused(posted(body), [SECRET]).reason == "malformed"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b"{" * 5000,
        b'{"biz_info": {}}',
        b'{"biz_info": {"biz_id": ""}}',
        b'{"biz_info": {"biz_id": "a b"}}',
        b'{"biz_info": {"biz_id": 7}}',
        b'\xef\xbb\xbf{"biz_info": {"biz_id": "1,a"}}',
        b'{"biz_info": {"biz_id": "1,a"}}x',
        b'{"biz_info": {"biz_id": "1,a"}, "status": "OK", "status": "FAILED"}',
        b'{"biz_info": {"biz_id": "1,a"}, "x": NaN}',
        b'{"biz_info": {"biz_id": "1,a"}, "x": 1e999}',
        b'{"biz_info": {"biz_id": "1,a"}, "x": "\xff"}',
        b'{"biz_info": {"biz_id": "1,a"}, "x": "\\ud800"}',
    ],
)
def test_a_signed_text_that_is_no_payload_is_malformed(data: bytes) -> None:
    assert refused(signed(data), [SECRET]).reason == "malformed"


def test_a_signed_text_may_be_as_long_as_the_ingress_can_be_set_to_accept_a_body() -> None:
    longest = 0
    for rule in Settings.model_fields["max_body_bytes"].metadata:
        longest = max(longest, getattr(rule, "le", None) or 0)
    text = json.dumps({**CALLBACKS["clean-pass"], "note": ""}).replace('"note": ""', '"note": "{}"')
    assert longest > 1_000_000
    assert verify(signed(text.replace("{}", "x" * (longest - len(text)))), [SECRET]).biz_id == BIZ_ID


def test_the_signature_is_checked_before_the_text_is_parsed() -> None:
    body = urlencode({"data": "{" * 100_000, "sign": "0" * 40}).encode()
    assert refused(posted(body), [SECRET]).reason == "bad_signature"


TAILS = [
    b"",
    b" ",
    b'{"status": "OK"}',
    b', "status": "OK"}',
    b'"}',
    OFFICIAL["data"].encode(),
    b"&data=" + quote(OFFICIAL["data"]).encode(),
]


@pytest.mark.parametrize("length", [1, 8, 16, 20, 32, 35, 36, 64, 100])
@pytest.mark.parametrize("tail", TAILS)
@pytest.mark.parametrize("coding", ["urlencoded", "multipart"])
def test_a_length_extended_callback_is_never_verified(length: int, tail: bytes, coding: str) -> None:
    secret, data = "s" * length, OFFICIAL["data"].encode()
    forged = data + padding(length + len(data)) + tail
    signature = extended(sign(secret, data), length + len(data), tail)
    assert sign(secret, forged) == signature
    if coding == "urlencoded":
        envelope = posted(urlencode({"data": forged, "sign": signature}).encode())
    else:
        envelope = posted(multipart(("data", forged), ("sign", signature.encode())), MULTIPART)
    assert refused(envelope, [secret]).reason == "malformed"


@pytest.mark.parametrize(
    "query",
    [
        f"biz_id={BIZ_ID}",
        f"biz_id={quote(BIZ_ID)}",
        f"biz_id={quote(BIZ_ID, safe='')}",
        f"order=7&biz_id={BIZ_ID}",
        f"biz_id={BIZ_ID}&order=7",
        f"a=b&biz_id={BIZ_ID}&order=7&c",
        f"&&biz_id={BIZ_ID}&",
        f"biz_id={BIZ_ID}#step-2",
        f"order=7&biz_id={BIZ_ID}#biz_id=other",
        f"promo=100%&biz_id={BIZ_ID}",
        f"biz_id2=x&xbiz_id=y&biz_id={BIZ_ID}",
        f"name=Jos%E9&biz_id={BIZ_ID}",
        f"data=forged&sign=forged&biz_id={BIZ_ID}",
    ],
)
def test_a_get_return_is_an_unsigned_return_of_its_biz_id(query: str) -> None:
    assert verify(returned(query), [SECRET]) == VerifiedArrival(BIZ_ID, None, "", None)


def test_the_biz_id_of_a_get_return_is_decoded_once() -> None:
    assert verify(returned("biz_id=1%252C2"), []).biz_id == "1%2C2"


@pytest.mark.parametrize(
    "query",
    [
        "", "order=7", "biz_id", "biz_id=", "BIZ_ID=1", "#biz_id=1", "x=1#&biz_id=1", "biz_id=1&biz_id=1",
        "biz_id=1&biz_id=2", "biz_id=%", "biz_id=%zz", "biz_id=a+b", "biz_id=a%20b", "biz_id=a%00b", "biz_id=a%0Ab",
        "biz_id=%0A", "biz_id=%FF", "biz_id=%C3%A9", "biz_id=é", "biz_id=\ud800", "biz_id=" + "x" * 129,
        "biz_id=" + "x" * 100_000, "biz_id=" + "%41" * 129,
    ],
)  # fmt: skip
def test_a_get_return_without_exactly_one_valid_biz_id_is_malformed(query: str) -> None:
    assert refused(returned(query), [SECRET]).reason == "malformed"


@pytest.mark.parametrize(
    "envelope", [posted(OFFICIAL["body"].encode()), returned(f"biz_id={BIZ_ID}"), signed('{"biz_id": "1", "x": "é"}')]
)
def test_a_verified_arrival_survives_a_message(envelope: Envelope) -> None:
    verified = verify(envelope, [SECRET])
    assert VerifiedArrival.load(verified.dump()) == verified


def test_a_verified_arrival_shows_no_personal_data() -> None:
    text = json.dumps({"biz_info": {"biz_id": "1,a", "biz_extra_data": "hunter2"}})
    assert "hunter2" not in repr(verify(signed(text), [SECRET]))
    for envelope in (signed(text, "hunter2"), signed(text + "hunter2"), posted(b"data=hunter2%&sign=hunter2")):
        fault = refused(envelope, [SECRET])
        assert "hunter2" not in f"{fault!r} {fault} {fault.detail}"
        assert fault.__suppress_context__ or fault.__context__ is None


PIECES = [
    b"data=", b"&sign=", b"%7B%7D", b"&", b"%", b"+", b'{"biz_info": {"biz_id": "1"}}', OFFICIAL["body"].encode(),
    b"--" + BOUNDARY.encode(), b"\r\n", b'Content-Disposition: form-data; name="data"\r\n\r\n', b"\x1f\x8b", b"\x00",
]  # fmt: skip


@settings(max_examples=250, deadline=None)
@given(
    st.lists(st.binary(max_size=30) | st.sampled_from(PIECES), max_size=8),
    st.sampled_from([FORM, MULTIPART, ""]) | st.text(max_size=30),
    st.sampled_from(["POST", "GET"]),
    st.text(max_size=60) | st.text(max_size=20).map("biz_id=".__add__),
)
def test_verify_raises_only_unverified(pieces: list[bytes], content_type: str, method: Any, query: str) -> None:
    envelope = new_envelope("default", "return", method, b"".join(pieces), content_type, query, 0.0)
    try:
        verified = verify(envelope, [SECRET])
    except Unverified:
        return
    assert verified.callback is None or OFFICIAL["body"].encode() in envelope.body


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["biz_info", "biz_id", "biz_no", "status", "liveness_result", "verify_result", "refs"])
            | st.text(max_size=5),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@settings(max_examples=250, deadline=None)
@given(JSON.map(json.dumps).map(str.encode) | st.binary(max_size=100))
def test_verify_raises_only_unverified_for_a_signed_text(data: bytes) -> None:
    try:
        verified = verify(signed(data), [SECRET])
    except Unverified:
        return
    assert VerifiedArrival.load(verified.dump()) == verified


@settings(max_examples=300, deadline=None)
@given(st.integers(0, len(OFFICIAL["data"]) - 1), st.characters(max_codepoint=126))
def test_a_changed_character_is_a_bad_signature(position: int, character: str) -> None:
    text = OFFICIAL["data"]
    altered = text[:position] + character + text[position + 1 :]
    if altered != text:
        body = urlencode({"data": altered, "sign": OFFICIAL["sign"]}).encode()
        assert refused(posted(body), [SECRET]).reason == "bad_signature"
