"""Redirect the user's browser from the return channel to the customer's page. No I/O."""

from typing import Final
from urllib.parse import unquote_plus

NEVER_PASSED: Final = frozenset({"data", "sign"})
"""Parameters that are left out of the redirect, so that signed personal data is in no URL."""

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
    """Add the request's query parameters to `url`, before its fragment; all but `data` and `sign`."""
    kept = "&".join(part for part in query.split("&") if part and NEVER_PASSED.isdisjoint(_names(part)))
    if not kept:
        return url
    base, hash_mark, fragment = url.partition("#")
    separator = "" if base.endswith(("?", "&")) else "&" if "?" in base else "?"
    return f"{base}{separator}{kept}{hash_mark}{fragment}"


def _names(part: str) -> set[str]:
    """The names in one parameter. There are several when it holds `;`, which some servers read as a separator."""
    return {unquote_plus(pair.partition("=")[0]).strip().lower() for pair in part.split(";")}
