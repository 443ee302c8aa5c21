"""The fields of a case, and its texts. No I/O. `lua/shared/texts.lua` writes the texts.

A text is stored compressed. A short one is stored in pieces: in the field NAME, then NAME.1, NAME.2, ...
"""

from collections.abc import Iterator, Mapping
from typing import Final

from shared.compression import decompress

PIECES: Final = 8
RECORD_SEPARATOR: Final = "\x1e"
"""Between the signed texts that the last version stored in one field. Strict JSON can't contain it (RFC 7464)."""
TEXTS: Final = frozenset({"callback", "raw", "set_aside", "decision", "revision"})
"""Names of texts, without the number after a colon: `callback:2`, `callback:3`, ... are later signed texts, and
`revision:1`, `revision:2`, ... superseded decisions."""

DROPPED_AT: Final = "evidence_dropped_at"
"""The field with the time at which the evidence was deleted to free memory, in Unix seconds."""


def text_fields(name: str) -> tuple[str, ...]:
    """The fields that a text may be stored in."""
    return (name, *(f"{name}.{number}" for number in range(1, PIECES)))


def read_values(fields: Mapping[str, bytes]) -> dict[str, str]:
    """The fields that hold no text."""
    return {name: value.decode() for name, value in fields.items() if _text_name(name) not in TEXTS}


def read_decisions(fields: Mapping[str, bytes]) -> dict[str, str]:
    """The decision in force and the superseded ones, by name. Raises `UnreadableText`."""
    names = [name for name in fields if name.partition(":")[0] in {"decision", "revision"} and "." not in name]
    return {name: (read_text(fields, name) or b"").decode() for name in names}


def stored_text(fields: Mapping[str, bytes], name: str) -> bytes | None:
    """A text as it is stored, or None when there is none."""
    if name not in fields:
        return None
    return b"".join(fields.get(field, b"") for field in text_fields(name))


def read_text(fields: Mapping[str, bytes], name: str) -> bytes | None:
    """A text, or None when there is none. Raises `UnreadableText`."""
    stored = stored_text(fields, name)
    return None if stored is None else decompress(stored)


def read_signed_texts(fields: Mapping[str, bytes]) -> tuple[str, ...]:
    """The signed texts that differ, oldest first. Raises `UnreadableText`."""
    return tuple(text for stored in _stored_signed_texts(fields) for text in split_texts(stored))


def split_texts(stored: bytes) -> list[str]:
    """The signed texts in one stored text: more than one only if the last version stored it."""
    return decompress(stored).decode().split(RECORD_SEPARATOR)


def _text_name(field: str) -> str:
    return field.partition(":")[0].partition(".")[0]


def _stored_signed_texts(fields: Mapping[str, bytes]) -> Iterator[bytes]:
    for number in range(1, int(fields.get("texts", b"1")) + 1):
        stored = stored_text(fields, signed_text_name(number))
        if stored is not None:
            yield stored


def signed_text_name(number: int) -> str:
    """The name of the n-th signed text, from 1."""
    return "callback" if number == 1 else f"callback:{number}"
