"""Read the texts of a case from its hash, decompressed."""

from collections.abc import Mapping
from typing import Any

from shared.ledger.case_fields import read_signed_texts, read_text


def text(found: Mapping[bytes, bytes] | Any, name: str) -> bytes | None:
    """A text of the case whose fields HGETALL has found. None when there is none."""
    return read_text(_named(found), name)


def signed_texts(found: Mapping[bytes, bytes] | Any) -> tuple[str, ...]:
    """The signed texts of that case, oldest first."""
    return read_signed_texts(_named(found))


def _named(found: Mapping[bytes, bytes]) -> dict[str, bytes]:
    return {name.decode(): value for name, value in found.items()}
