"""Parse signed text as strict JSON.

A length-extended text has bytes that FaceID did not write, and an ambiguous text (a key twice) means different things
to different parsers. Both are refused.

The parser is jiter. It refuses a doubled key (an option), bytes that are not UTF-8, a byte order mark, trailing bytes,
lone surrogates and NaN. It can't limit the length of a number, its magnitude or the depth of nesting. Those are checked
by a scan of the tokens, but only in texts that a cheap test finds suspicious. For the example on FaceID's callback
page, all this takes 1.5 times as long as `json.loads`; the same checks as hooks of `json.loads` take 2.8 times.
"""

import re
from math import isfinite
from typing import Final

import jiter
from pydantic import JsonValue

MAX_BYTES: Final = 16_777_216
"""The most that FACEID_MAX_BODY_BYTES may be. The ingress has limited each text to that setting already."""
MAX_DEPTH: Final = 32
MAX_NUMBER: Final = 40
"""Characters of one number."""

_TOKEN: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|(?P<number>-?[0-9][-+.0-9eE]*)|[\[{]|[\]}]')


def _character_class(character: str) -> str:
    if character in ":,[ \t\r\n":
        return " "
    if character in ".0123456789":
        return "0"
    return {"-": "-", "e": "e", "E": "e"}.get(character, "x")


_CHARACTER_CLASSES: Final = "".join(map(_character_class, map(chr, range(256)))).encode()
"""A table for `bytes.translate`: digits and `.` become `0`, what may stand before a number becomes a space, `e` and `-`
stay, all else becomes `x`. `+` is deleted, which shortens a number by at most one character."""

_LONG_RUN: Final = b"0" * (MAX_NUMBER // 2 - 1)
"""A number has at most two runs of digits, with `-` before the first and `e-` between them. If both are shorter than
this, the number has at most 40 characters."""
_ODD_NUMBER: Final = re.compile(rb" (?:-?0+e000|[-0e]{%d})" % MAX_NUMBER)
"""A translated number with a positive exponent of three digits or more, or of 40 characters or more."""


class NotStrictJson(ValueError):
    """The text is not one strict JSON document. The message names the broken rule, never a part of the text."""


def parse(text: bytes | str, *, max_bytes: int = MAX_BYTES) -> JsonValue:
    """Parse one strict JSON document.

    Raises:
        NotStrictJson: The text is not one JSON document in UTF-8, is longer than `max_bytes` or nested deeper than 32,
            has a key twice in an object, or has a number that is infinite as a float or longer than 40 characters.
    """
    raw = _encode(text)
    if len(raw) > max_bytes:
        raise NotStrictJson(f"longer than {max_bytes} bytes")
    value = _parse(raw)
    if _needs_scan(raw):
        _scan(raw)
    return value


def _encode(text: bytes | str) -> bytes:
    try:
        return text.encode() if isinstance(text, str) else text
    except UnicodeEncodeError:
        raise NotStrictJson("a lone surrogate") from None


def _parse(raw: bytes) -> JsonValue:
    try:
        value: JsonValue = jiter.from_json(raw, allow_inf_nan=False, catch_duplicate_keys=True)
    except ValueError as error:
        raise NotStrictJson("a doubled key" if "duplicate key" in str(error) else "not one JSON document") from None
    return value


def _needs_scan(raw: bytes) -> bool:
    """Whether the text could break a rule that jiter does not check. Some valid texts are scanned as well."""
    if raw.count(b"{") + raw.count(b"[") > MAX_DEPTH:
        return True
    classes = raw.translate(_CHARACTER_CLASSES, b"+")
    if not (_LONG_RUN in classes or b"0e000" in classes):
        return False  # no long run of digits, and no positive exponent of three digits
    return _ODD_NUMBER.search(b" " + classes) is not None


def _scan(raw: bytes) -> None:
    depth = 0
    for token in _TOKEN.finditer(raw):
        start = token[0][:1]
        if start in b"[{":
            depth += 1
        elif start in b"]}":
            depth -= 1
        elif token["number"]:
            _check_number(token["number"])
        if depth > MAX_DEPTH:
            raise NotStrictJson(f"nested deeper than {MAX_DEPTH}")


def _check_number(token: bytes) -> None:
    if len(token) > MAX_NUMBER:
        raise NotStrictJson(f"a number of more than {MAX_NUMBER} characters")
    if not isfinite(float(token)):
        raise NotStrictJson("a number too large for a float")
