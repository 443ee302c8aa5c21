"""Decode the form that FaceID posts, exactly once, into its fields `data` and `sign`."""

import logging
import re
from binascii import a2b_qp
from functools import lru_cache
from typing import Final, NamedTuple

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import Field, FormParser, parse_options_header

MAX_FIELDS: Final = 64
_SOFT_LINE_BREAK: Final = re.compile(rb"%[\r\n]")
"""Once `%` is `=`, a soft line break of quoted-printable, which decodes to nothing."""
_QUOTED_PRINTABLE: Final = bytes.maketrans(b"+%", b" =")
_CACHED_LENGTH: Final = 256
"""Characters of a content type. The parts of a longer one are not kept in memory."""
_UTF8: Final = frozenset({b"", b"utf-8", b"utf8", b"us-ascii", b"ascii"})
_CONTAIN_ASCII: Final = re.compile(
    rb"iso-?8859-\d{1,2}|latin-?\d|(?:windows-|cp)125\d|gb2312|gbk|gb18030|big5|euc-(?:jp|kr)"
)
"""Charsets in which ASCII text has the same bytes as in UTF-8."""

logging.getLogger("python_multipart").setLevel(logging.CRITICAL)  # its warnings quote the posted body


class InvalidForm(ValueError):
    """The body is not a form with one `data` and one `sign`. The message names the broken rule, never a value."""


class SignedForm(NamedTuple):
    """The two fields of a callback."""

    data: bytes
    """The signed bytes."""
    sign: str


def parse(content_type: str, body: bytes) -> SignedForm:
    """Read `data` and `sign` from a posted form.

    The body is read as multipart when the content type is `multipart/form-data`, else as urlencoded. No content type is
    refused: the signature decides whether the bytes come from FaceID.

    Raises:
        InvalidForm: A field is missing or doubled, the percent-encoding is broken, the charset is not UTF-8 (and `data`
            not ASCII), there are more than 64 fields, or a multipart body has no end.
    """
    parse_type = _parse_content_type if len(content_type) <= _CACHED_LENGTH else _parse_content_type.__wrapped__
    kind, options = parse_type(content_type)
    charset = options.get(b"charset", b"").lower()
    utf8 = charset in _UTF8
    if not utf8 and not _CONTAIN_ASCII.fullmatch(charset):
        raise InvalidForm("the charset is not UTF-8")
    pairs = _multipart(options, body) if kind == b"multipart/form-data" else _urlencoded(body)
    form = SignedForm(_single(pairs, b"data"), _single(pairs, b"sign").decode("ascii", "replace"))
    if not utf8 and not form.data.isascii():
        raise InvalidForm("the charset is not UTF-8, and the field data is not ASCII")
    return form


def unquote(text: bytes) -> bytes:
    """Decode urlencoded text once: `+` to a space, `%XX` to a byte.

    `%XX` is decoded as quoted-printable, with `=` in place of `%`: the C decoder `a2b_qp` is nine times as fast as
    urllib. It leaves an invalid escape as it is, so an invalid escape shows in the length of the result.

    Raises:
        InvalidForm: A `%` without two hex digits.
    """
    if b"%" not in text:
        return text.replace(b"+", b" ")
    if b"=" in text:
        text = text.replace(b"=", b"%3D")
    escapes = text.count(b"%")
    if (b"\n" in text or b"\r" in text) and _SOFT_LINE_BREAK.search(text):
        raise InvalidForm("broken percent-encoding")
    decoded = a2b_qp(text.translate(_QUOTED_PRINTABLE))
    if len(decoded) != len(text) - 2 * escapes:
        raise InvalidForm("broken percent-encoding")
    return decoded


@lru_cache(maxsize=64)
def _parse_content_type(content_type: str) -> tuple[bytes, dict[bytes, bytes]]:
    try:
        return parse_options_header(content_type)
    except UnicodeEncodeError:
        raise InvalidForm("the content type is not latin-1") from None


def _single(pairs: list[tuple[bytes, bytes]], name: bytes) -> bytes:
    values = [value for key, value in pairs if key == name]
    if len(values) != 1:
        raise InvalidForm(f"the field {name.decode()} is {'doubled' if values else 'missing'}")
    return values[0]


def _urlencoded(body: bytes) -> list[tuple[bytes, bytes]]:
    parts = body.split(b"&", MAX_FIELDS)
    if len(parts) > MAX_FIELDS:
        raise InvalidForm(f"more than {MAX_FIELDS} fields")
    pairs = [part.partition(b"=") for part in parts]
    return [(unquote(name), unquote(value)) for name, _, value in pairs]


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
        raise InvalidForm("a broken multipart body") from None
    if not ended:
        raise InvalidForm("a multipart body without its end")
    return pairs
