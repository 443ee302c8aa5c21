"""Where the user's browser goes from the return channel. Pure."""

from typing import Final
from urllib.parse import unquote_plus

NEVER_PASSED: Final = frozenset({"data", "sign"})

FINISHED_PAGE: Final = b"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Check finished</title>
<body style="font: 1.1rem/1.5 system-ui, sans-serif; margin: 20vh auto; max-width: 26rem; text-align: center">
<h1>The check is finished</h1>
<p>You can close this page and go back to where you came from.</p>
"""


def redirect_target(url: str, query: str) -> str:
    """`url` with the request's query parameters added before its fragment; `data` and `sign` never."""
    kept = "&".join(part for part in query.split("&") if part and NEVER_PASSED.isdisjoint(_names(part)))
    if not kept:
        return url
    base, hash_sign, fragment = url.partition("#")
    joint = "" if base.endswith(("?", "&")) else "&" if "?" in base else "?"
    return f"{base}{joint}{kept}{hash_sign}{fragment}"


def _names(part: str) -> set[str]:
    """The parameter's name; several where somebody may take `;` for a separator too."""
    return {unquote_plus(pair.partition("=")[0]).strip().lower() for pair in part.split(";")}
