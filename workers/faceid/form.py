"""The two fields of a callback, after exactly one form-decoding of the request body."""

import logging
import re
from binascii import a2b_qp
from typing import Final, NamedTuple

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import Field, FormParser, parse_options_header

MAX_FIELDS: Final = 64
_SOFT_BREAK: Final = re.compile(rb"%[\r\n]")
"""In quoted-printable it stands for nothing at all."""
_UTF8: Final = frozenset({b"", b"utf-8", b"utf8", b"us-ascii"})

logging.getLogger("python_multipart").setLevel(logging.CRITICAL)  # its warnings quote what was posted


class NotAForm(ValueError):
    """The body is not a form with one `data` and one `sign`; the message names the rule, never a value."""


class SignedForm(NamedTuple):
    """What the vendor posts: the signed bytes, and the signature that came with them."""

    data: bytes
    sign: str


def fields(content_type: str, body: bytes) -> SignedForm:
    """The `data` and `sign` of a posted form.

    The body is read as multipart where the content type says so, else as urlencoded, whatever the content type: whether
    the bytes are the vendor's is for the signature to say.

    Raises:
        NotAForm: A field missing or doubled, broken percent-encoding, a charset other than UTF-8, more than 64
            fields, or a multipart body that does not end where it says.
    """
    kind, options = _options(content_type)
    if options.get(b"charset", b"").lower() not in _UTF8:
        raise NotAForm("the charset is not UTF-8")
    pairs = _multipart(options, body) if kind == b"multipart/form-data" else _urlencoded(body)
    return SignedForm(_single(pairs, b"data"), _single(pairs, b"sign").decode("ascii", "replace"))


def unquote(text: bytes) -> bytes:
    """One decoding of urlencoded text, `+` to space and `%XX` to a byte.

    It is done as quoted-printable, which has the same escapes with another sign, by C code nine times as fast as
    urllib's. That decoder leaves alone what it can't read; then the length tells.

    Raises:
        NotAForm: A `%` without two hex digits.
    """
    plain = text.replace(b"+", b" ")
    if b"%" not in plain:
        return plain
    if b"=" in plain:
        plain = plain.replace(b"=", b"%3D")
    if (b"\n" in plain or b"\r" in plain) and _SOFT_BREAK.search(plain):
        raise NotAForm("broken percent-encoding")
    decoded = a2b_qp(plain.replace(b"%", b"="))
    if len(decoded) != len(plain) - 2 * plain.count(b"%"):
        raise NotAForm("broken percent-encoding")
    return decoded


def _options(content_type: str) -> tuple[bytes, dict[bytes, bytes]]:
    try:
        return parse_options_header(content_type)
    except UnicodeEncodeError:
        raise NotAForm("the content type is not latin-1") from None


def _single(pairs: list[tuple[bytes, bytes]], name: bytes) -> bytes:
    values = [value for key, value in pairs if key == name]
    if len(values) != 1:
        raise NotAForm(f"the field {name.decode()} is {'doubled' if values else 'missing'}")
    return values[0]


def _urlencoded(body: bytes) -> list[tuple[bytes, bytes]]:
    parts = body.split(b"&", MAX_FIELDS)
    if len(parts) > MAX_FIELDS:
        raise NotAForm(f"more than {MAX_FIELDS} fields")
    halves = [part.partition(b"=") for part in parts]
    return [(unquote(name), unquote(value)) for name, _, value in halves]


def _multipart(options: dict[bytes, bytes], body: bytes) -> list[tuple[bytes, bytes]]:
    pairs: list[tuple[bytes, bytes]] = []
    ended: list[bool] = []

    def on_field(field: Field) -> None:
        if len(pairs) == MAX_FIELDS:
            raise FormParserError(f"more than {MAX_FIELDS} fields")
        pairs.append((field.field_name or b"", field.value or b""))

    try:
        parser = FormParser(
            "multipart/form-data",
            on_field,
            None,
            on_end=lambda: ended.append(True),
            boundary=options.get(b"boundary"),
            config={"UPLOAD_ERROR_ON_BAD_CTE": True},
        )
        parser.write(body)
    except FormParserError:
        raise NotAForm("a broken multipart body") from None
    if not ended:
        raise NotAForm("a multipart body without its end")
    return pairs
