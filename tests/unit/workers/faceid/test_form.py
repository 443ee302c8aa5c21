"""The posted form: decoded exactly once, and refused unless it has one data and one sign."""

import gzip
import time
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.payloads import FORM, OFFICIAL, SIGNATURES
from workers.faceid.form import MAX_FIELDS, InvalidForm, parse, unquote

BOUNDARY = "9d1c0f"
MULTIPART = f"multipart/form-data; boundary={BOUNDARY}"


def multipart(*parts: tuple[str, bytes], end: bytes = b"--", headers: str = "") -> bytes:
    body = b""
    for name, value in parts:
        body += f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n{headers}\r\n'.encode()
        body += value + b"\r\n"
    return body + f"--{BOUNDARY}".encode() + end + b"\r\n"


@pytest.mark.parametrize("vector", SIGNATURES, ids=lambda vector: vector["name"])
def test_the_vendors_body_gives_the_signed_bytes(vector: dict[str, Any]) -> None:
    assert parse(FORM, vector["body"].encode()) == (vector["data"].encode(), vector["sign"])


@pytest.mark.parametrize("vector", SIGNATURES, ids=lambda vector: vector["name"])
def test_a_multipart_body_gives_the_signed_bytes(vector: dict[str, Any]) -> None:
    body = multipart(("data", vector["data"].encode()), ("sign", vector["sign"].encode()))
    assert parse(MULTIPART, body) == (vector["data"].encode(), vector["sign"])


@pytest.mark.parametrize(
    "content_type",
    [
        "",
        "text/plain",
        "application/json",
        "nonsense",
        ";;;",
        FORM.upper(),
        f"{FORM}; charset=UTF-8",
        f"{FORM};charset=utf8",
    ],
)
def test_any_other_content_type_is_read_as_urlencoded(content_type: str) -> None:
    assert parse(content_type, OFFICIAL["body"].encode()).sign == OFFICIAL["sign"]


@pytest.mark.parametrize(
    "charset", ["iso-8859-1", "ISO-8859-15", "latin1", "windows-1252", "cp1252", "gbk", "gb18030", "us-ascii"]
)
def test_ascii_is_accepted_in_every_charset_that_contains_it(charset: str) -> None:
    assert parse(f"{FORM}; charset={charset}", OFFICIAL["body"].encode()).sign == OFFICIAL["sign"]


@pytest.mark.parametrize("data", [b"%C3%A9", b"\xc3\xa9", b"%E9"])
def test_other_bytes_are_refused_in_a_charset_that_is_not_utf8(data: bytes) -> None:
    with pytest.raises(InvalidForm, match="charset"):
        parse(f"{FORM}; charset=iso-8859-1", b"data=" + data + b"&sign=1")


def test_a_body_is_decoded_once_and_not_twice() -> None:
    assert parse(FORM, b"data=%2541+%252B&sign=a").data == b"%41 %2B"


def test_multipart_fields_are_not_percent_decoded() -> None:
    assert parse(MULTIPART, multipart(("data", b"%41+&=\r\n--x"), ("sign", b"a"))).data == b"%41+&=\r\n--x"


def test_a_multipart_boundary_may_be_quoted() -> None:
    body = multipart(("data", b"1"), ("sign", b"a"))
    assert parse(f'multipart/form-data; boundary="{BOUNDARY}"', body).data == b"1"


def test_raw_bytes_stay_as_they_are() -> None:
    assert parse(FORM, 'data={"a": "José\\x41"}&sign=a'.encode()).data == '{"a": "José\\x41"}'.encode()


def test_other_fields_are_ignored() -> None:
    assert parse(FORM, b"x=1&data=2&&y&sign=3&data2=4").data == b"2"


def test_field_names_are_decoded_too() -> None:
    assert parse(FORM, b"%64ata=2&si%67n=3") == (b"2", "3")


def test_a_sign_that_is_not_ascii_never_matches() -> None:
    assert parse(FORM, b"data=1&sign=%FF").sign == "\ufffd"


REFUSED: dict[str, tuple[str, bytes]] = {
    "an empty body": (FORM, b""),
    "no data": (FORM, b"sign=1"),
    "no sign": (FORM, b"data=1"),
    "a doubled data": (FORM, b"data=1&sign=1&data=1"),
    "a doubled sign": (FORM, b"data=1&sign=1&sign=1"),
    "a data doubled under a coded name": (FORM, b"data=1&sign=1&%64ata=2"),
    "a lone percent": (FORM, b"data=100%&sign=1"),
    "a percent with one digit": (FORM, b"data=%4&sign=1"),
    "a percent with no hex": (FORM, b"data=%zz&sign=1"),
    "a percent with an underscore": (FORM, b"data=%4_1&sign=1"),
    "a percent with a sign": (FORM, b"data=%+4&sign=1"),
    "broken coding in another field": (FORM, b"data=1&sign=1&x=%"),
    "a foreign charset": (f"{FORM}; charset=utf-16", b"data=1&sign=1"),
    "too many fields": (FORM, b"x&" * (MAX_FIELDS - 1) + b"data=1&sign=1"),
    "a flood of fields": (FORM, b"&" * 200_000 + b"data=1&sign=1"),
    "semicolons between": (FORM, b"data=1;sign=1"),
    "a json body": ("application/json", b'{"data": "1", "sign": "1"}'),
    "a gzip body": (FORM, gzip.compress(b"data=1&sign=1")),
    "a gzip body in multipart": (MULTIPART, gzip.compress(multipart(("data", b"1"), ("sign", b"1")))),
    "multipart without a boundary": ("multipart/form-data", multipart(("data", b"1"), ("sign", b"1"))),
    "multipart with an empty boundary": ("multipart/form-data; boundary=", multipart(("data", b"1"), ("sign", b"1"))),
    "multipart with a lying boundary": ("multipart/form-data; boundary=x", multipart(("data", b"1"), ("sign", b"1"))),
    "multipart with an endless boundary": (
        f"multipart/form-data; boundary={'x' * 9999}",
        multipart(("data", b"1"), ("sign", b"1")),
    ),
    "multipart without its end": (MULTIPART, multipart(("data", b"1"), ("sign", b"1"), end=b"")),
    "multipart cut short": (MULTIPART, multipart(("data", b"1"), ("sign", b"1"))[:80]),
    "multipart with a doubled data": (MULTIPART, multipart(("data", b"1"), ("sign", b"1"), ("data", b"1"))),
    "multipart without sign": (MULTIPART, multipart(("data", b"1"))),
    "multipart with data as a file": (
        MULTIPART,
        multipart(('data"; filename="data.json', b"1"), ("sign", b"1")),
    ),
    "multipart with too many fields": (
        MULTIPART,
        multipart(*[("x", b"")] * MAX_FIELDS, ("data", b"1"), ("sign", b"1")),
    ),
    "multipart with broken base64": (
        MULTIPART,
        multipart(("data", b"1"), ("sign", b"1"), headers="Content-Transfer-Encoding: base64\r\n"),
    ),
    "multipart in an unknown coding": (
        MULTIPART,
        multipart(("data", b"1"), ("sign", b"1"), headers="Content-Transfer-Encoding: rot13\r\n"),
    ),
    "multipart that says urlencoded": (FORM, multipart(("data", b"1"), ("sign", b"1"))),
    "multipart with no name": (MULTIPART, f"--{BOUNDARY}\r\n\r\n1\r\n--{BOUNDARY}--\r\n".encode()),
    "a content type beyond latin-1": (f"{FORM}; x=张", b"data=1&sign=1"),
}


@pytest.mark.parametrize(("content_type", "body"), REFUSED.values(), ids=REFUSED)
def test_a_form_without_exactly_one_data_and_one_sign_is_refused(content_type: str, body: bytes) -> None:
    with pytest.raises(InvalidForm):
        parse(content_type, body)


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        (FORM, b"%41" * 80_000),
        (FORM, b"=" * 262_000),
        (FORM, b"+" * 262_000),
        (MULTIPART, b"\r\n--" * 60_000),
        (MULTIPART, multipart(("data", b"\r\n--9d1c0e" * 20_000))),
        (MULTIPART, multipart(*[("x", b"")] * 3000)),
        (MULTIPART, f"--{BOUNDARY}\r\n".encode() + b"A: b\r\n" * 40_000),
        ("multipart/form-data" + ";a=b" * 16_000, b""),
        ('multipart/form-data;a="' + ";" * 60_000, b""),
    ],
    ids=[
        "escapes",
        "equals",
        "pluses",
        "dashes",
        "near boundaries",
        "parts",
        "headers",
        "options",
        "quoted semicolons",
    ],
)
def test_no_body_takes_long_to_parse(content_type: str, body: bytes) -> None:
    started = time.process_time()
    with pytest.raises(InvalidForm):
        parse(content_type, body)
    assert time.process_time() - started < 1


def test_neither_error_nor_log_quotes_the_body(caplog: pytest.LogCaptureFixture) -> None:
    coding = multipart(("data", b"1"), ("sign", b"1"), headers="Content-Transfer-Encoding: hunter2\r\n")
    for content_type, body in [(FORM, b"data=hunter2%&sign=hunter2"), (MULTIPART, b"hunter2"), (MULTIPART, coding)]:
        with pytest.raises(InvalidForm) as raised:
            parse(content_type, body)
        assert "hunter2" not in repr(raised.value)
        assert raised.value.__context__ is None or raised.value.__suppress_context__
    assert caplog.records == []


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=100))
def test_any_bytes_survive_encoding_and_decoding(raw: bytes) -> None:
    assert unquote(urlencode({"": raw}).encode()[1:]) == raw
    assert unquote(quote(raw).encode()) == raw


@settings(max_examples=250, deadline=None)
@given(
    st.sampled_from([FORM, MULTIPART, "", "multipart/form-data; boundary="]) | st.text(max_size=40),
    st.lists(
        st.binary(max_size=20)
        | st.sampled_from(
            [
                b"data=", b"sign=", b"&", b"%", b"%41", b"\r\n", b"--", BOUNDARY.encode(), b"--9d1c0f\r\n",
                b"--9d1c0f--",
                b'Content-Disposition: form-data; name="data"\r\n', b"Content-Transfer-Encoding: base64\r\n",
                b"Content-Transfer-Encoding: quoted-printable\r\n", b'; filename="x"',
            ]
        ),
        max_size=12,
    ),
)  # fmt: skip
def test_no_other_exception_is_raised(content_type: str, pieces: list[bytes]) -> None:
    try:
        form = parse(content_type, b"".join(pieces))
    except InvalidForm:
        return
    assert isinstance(form.data, bytes)
