"""Strict JSON: what is refused, and that everything else is parsed as json.loads parses it."""

import json
import math
import time
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.payloads import CALLBACKS, SIGNATURES
from workers.faceid.strict_json import MAX_BYTES, MAX_DEPTH, MAX_NUMBER, NotStrictJson, parse


@pytest.mark.parametrize("vector", SIGNATURES, ids=lambda vector: vector["name"])
def test_the_texts_of_the_vectors_parse_as_json_loads_parses_them(vector: dict[str, Any]) -> None:
    assert parse(vector["data"].encode()) == parse(vector["data"]) == json.loads(vector["data"])


@pytest.mark.parametrize("name", CALLBACKS)
def test_payloads_parse_in_both_non_ascii_forms(name: str) -> None:
    payload = {**CALLBACKS[name], "biz_extra_data": "José 张三 😀"}
    assert parse(json.dumps(payload)) == parse(json.dumps(payload, ensure_ascii=False)) == payload


REFUSED: dict[str, bytes | str] = {
    "nothing": b"",
    "only whitespace": b" \n",
    "a trailing word": b'{"a": 1} x',
    "a second document": b"{}{}",
    "a trailing zero byte": b"{}\x00",
    "a leading zero byte": b"\x00{}",
    "a vertical tab": b"\x0b{}",
    "a byte order mark": b"\xef\xbb\xbf{}",
    "a byte order mark in a str": "\ufeff{}",
    "utf-16": '{"a": 1}'.encode("utf-16"),
    "latin-1": '{"a": "é"}'.encode("latin-1"),
    "an overlong form": b'{"a": "\xc0\xaf"}',
    "an encoded surrogate": b'{"a": "\xed\xa0\x80"}',
    "a raw surrogate": '{"a": "\ud800"}',
    "an escaped lone high surrogate": b'{"a": "\\ud800"}',
    "an escaped lone low surrogate": b'{"a": "\\udc00x"}',
    "surrogates in the wrong order": b'{"a": "\\udc00\\ud800"}',
    "a doubled key": b'{"a": 1, "a": 2}',
    "a doubled key with the same value": b'{"a": 1, "a": 1}',
    "a doubled key far down": b'{"x": [{"y": {"a": 1, "b": 2, "a": 3}}]}',
    "a doubled key in other letters": b'{"a": 1, "\\u0061": 2}',
    "NaN": b"[NaN]",
    "Infinity": b"[Infinity]",
    "minus Infinity": b"[-Infinity]",
    "a number beyond all bounds": b"[1e999]",
    "a bare number beyond all bounds": b"1e999",
    "a negative number beyond all bounds": b'{"a":-1E+400}',
    "a long mantissa beyond all bounds": b"[" + b"9" * 30 + b"e300]",
    "a long integer": b"[" + b"1" * (MAX_NUMBER + 1) + b"]",
    "a long fraction": b"[0." + b"1" * MAX_NUMBER + b"]",
    "a long exponent": b"[1e-" + b"0" * MAX_NUMBER + b"]",
    "a long negative number after a space": b'{"a": -' + b"1" * MAX_NUMBER + b"}",
    "a leading zero": b"[01]",
    "a plus sign": b"[+1]",
    "a bare point": b"[1.]",
    "a hexadecimal number": b"[0x1]",
    "single quotes": b"{'a': 1}",
    "a trailing comma": b'{"a": 1,}',
    "a comment": b"{} // done",
    "a raw control character": b'{"a": "\x01"}',
    "a raw line feed": b'{"a": "\n"}',
    "a broken escape": b'{"a": "\\x41"}',
    "no end": b'{"a": 1',
    "too deep an array": b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1),
    "too deep an object": b'{"a":' * (MAX_DEPTH + 1) + b"1" + b"}" * (MAX_DEPTH + 1),
    "an abyss": b"[" * 200_000,
    "a closed abyss": b"[" * 100_000 + b"]" * 100_000,
    "too long a text": b'"' + b"x" * MAX_BYTES + b'"',
}


@pytest.mark.parametrize("text", REFUSED.values(), ids=REFUSED)
def test_a_text_that_is_not_strict_json_is_refused(text: bytes | str) -> None:
    with pytest.raises(NotStrictJson):
        parse(text)


ACCEPTED: dict[str, bytes] = {
    "whitespace around": b' \r\n\t{"a": 1} \n',
    "a deep but allowed array": b"[" * MAX_DEPTH + b"]" * MAX_DEPTH,
    "brackets in a string": b'{"a": "' + b"[{" * 100 + b'"}',
    "brackets behind an escaped quote": b'{"a": "\\"' + b"[" * 100 + b'\\\\"}',
    "many shallow arrays": b"[" + b"[]," * 100 + b"[]]",
    "the longest number": b"[" + b"1" * MAX_NUMBER + b"]",
    "a long number in a string": b'{"a": "' + b"1" * 100 + b'"}',
    "a long number behind a comma in a string": b'{"a": "x,' + b"1" * 100 + b'"}',
    "an exponent beyond bounds in a string": b'{"a": "x: 1e999"}',
    "the greatest finite number": b"[1.7976931348623157e308]",
    "a number that vanishes": b"[1e-999]",
    "a pair of surrogates": b'["\\ud83d\\ude00"]',
    "a key beside its own upper case": b'{"a": 1, "A": 2}',
    "the same key in two objects": b'[{"a": 1}, {"a": 2}]',
    "an empty key": b'{"": 1}',
}


@pytest.mark.parametrize("text", ACCEPTED.values(), ids=ACCEPTED)
def test_strict_json_parses_as_json_loads_parses_it(text: bytes) -> None:
    assert parse(text) == json.loads(text)


@pytest.mark.parametrize(
    "text",
    [
        b"[" + b"9" * 262_000 + b"]",
        b"[" + b"9" * 4000 + b"," + b"9" * 4000 + b"]",
        b"[0." + b"9" * 262_000 + b"]",
        b"[" + b"1," * 131_000 + b"1" * 41 + b"]",
        b'{"a":"' + b"\\\\" * 131_000,
        b'["' + b",1e999" * 40_000 + b'"]',
        b"[" * 33 + b'"' * 262_000,
    ],
    ids=["integer", "integers", "fraction", "many numbers", "backslashes", "false alarms", "quotes"],
)
def test_no_text_takes_long_to_parse(text: bytes) -> None:
    started = time.process_time()
    with suppress(NotStrictJson):
        parse(text)
    assert time.process_time() - started < 0.5


def test_the_error_quotes_nothing_of_the_text() -> None:
    with pytest.raises(NotStrictJson) as raised:
        parse(b'{"hunter2": 1, "hunter2": 2}')
    assert "hunter2" not in repr(raised.value)
    assert raised.value.__cause__ is None
    assert raised.value.__suppress_context__


def finite(value: object) -> bool:
    if isinstance(value, dict):
        return all(map(finite, value.values()))
    if isinstance(value, list):
        return all(map(finite, value))
    return not isinstance(value, float) or math.isfinite(value)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200) | st.text(max_size=200))
def test_no_other_exception_is_raised(text: bytes | str) -> None:
    try:
        value = parse(text)
    except NotStrictJson:
        return
    assert value == json.loads(text)


@settings(max_examples=500, deadline=None)
@given(
    st.sampled_from(["", "-"]),
    st.integers(1, 41),
    st.integers(0, 20),
    st.sampled_from(["", "e", "e+", "e-", "E"]),
    st.integers(1, 41),
)
def test_a_number_is_refused_only_for_its_length_or_size(
    minus: str, whole: int, fraction: int, power: str, exponent: int
) -> None:
    number = minus + "1" * whole + (f".{'1' * fraction}" if fraction else "") + (power and power + "1" * exponent)
    if len(number) <= MAX_NUMBER and math.isfinite(float(number)):
        assert parse(f"[{number}]") == json.loads(f"[{number}]")
    else:
        with pytest.raises(NotStrictJson):
            parse(f"[{number}]")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**100), 2**100) | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=40,
)


@settings(max_examples=300, deadline=None)
@given(JSON, st.booleans())
def test_any_finite_document_is_parsed_exactly(document: object, ascii_only: bool) -> None:
    text = json.dumps(document, ensure_ascii=ascii_only)
    if finite(document):
        assert parse(text) == document
    else:
        with pytest.raises(NotStrictJson):
            parse(text)


@settings(max_examples=200, deadline=None)
@given(JSON, st.binary(min_size=1, max_size=80))
def test_a_tail_other_than_whitespace_is_refused(document: object, tail: bytes) -> None:
    text = json.dumps(document).encode()
    if tail.strip(b" \t\r\n") and isinstance(document, dict | list):
        with pytest.raises(NotStrictJson):
            parse(text + tail)
