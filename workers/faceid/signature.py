"""The vendor's signature: lower-case hex of sha1(api_secret + data) (official page, Callbacks).

Plain concatenation, not an HMAC: whoever knows one valid pair can sign that text with a tail of their own (length
extension). A match therefore proves a text only after `strict_json` has taken it whole.
"""

import hashlib
import hmac
import re
from collections.abc import Sequence
from typing import Final

_SHAPE: Final = re.compile("[0-9a-f]{40}")


def sign(secret: str, data: bytes) -> str:
    """The signature of `data`: 40 lower-case hex digits."""
    return hashlib.sha1(secret.encode() + data, usedforsecurity=False).hexdigest()


def match(secrets: Sequence[str], data: bytes, given: str) -> int | None:
    """The index of the secret that gives the signature `given`, or None.

    Every secret is tried, each compared in constant time. An empty secret, with which anybody could sign, never does.
    """
    if not _SHAPE.fullmatch(given):
        return None
    matches = [hmac.compare_digest(sign(secret, data), given) and secret != "" for secret in secrets]
    return matches.index(True) if any(matches) else None
