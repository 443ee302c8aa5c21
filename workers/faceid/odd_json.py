"""Parse an answer of GetResult, even if it is no strict JSON.

The answer comes from FaceID over TLS, so no rule here is a defence against forgery. FaceID counts every read: an answer
must not be thrown away because a part of it that no decision depends on is odd.
"""

import json
from math import inf
from typing import Final

from pydantic import JsonValue

from workers.faceid import strict_json

MAX_BYTES: Final = 4 * 1024 * 1024
"""`images` takes hundreds of KiB (FaceID's GetResult page)."""
DOUBLED: Final[JsonValue] = [None]
"""The value of a doubled key. No field of a payload accepts it, so the part is removed as unreadable."""


class NotJson(ValueError):
    """The text is not one JSON document. The message holds no part of the text."""


def parse(text: str) -> JsonValue:
    """Parse one JSON document of at most 4 MiB. Doubled keys, NaN, infinite and endless numbers are allowed.

    Raises:
        NotJson: The text is not one JSON document.
    """
    try:
        return strict_json.parse(text, max_bytes=MAX_BYTES)
    except strict_json.NotStrictJson:
        return _parse_odd(text)


def _parse_odd(text: str) -> JsonValue:
    try:
        document: JsonValue = json.loads(text, object_pairs_hook=_object, parse_int=_integer)
    except (ValueError, RecursionError):
        raise NotJson("not one JSON document") from None
    return document


def _object(pairs: list[tuple[str, JsonValue]]) -> dict[str, JsonValue]:
    found: dict[str, JsonValue] = {}
    for key, value in pairs:
        name = _without_surrogates(key)
        found[name] = DOUBLED if name in found else _without_surrogates(value) if isinstance(value, str) else value
    return found


def _without_surrogates(text: str) -> str:
    """pydantic takes no lone surrogates (`\\ud800`)."""
    return text.encode("utf-8", "replace").decode()


def _integer(digits: str) -> float:
    return int(digits) if len(digits) <= strict_json.MAX_NUMBER else inf
