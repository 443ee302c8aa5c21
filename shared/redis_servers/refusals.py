"""Tell a command that Redis refuses for good from a server that can't run commands now."""

import re
from typing import Final

from redis.exceptions import (
    BusyLoadingError,
    ClusterDownError,
    DataError,
    ExecAbortError,
    MasterDownError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    ResponseError,
)

_NOT_NOW: Final = re.compile(
    r"\b(OOM|READONLY|LOADING|MASTERDOWN|NOREPLICAS|MISCONF|BUSY|UNKILLABLE|UNBLOCKED|NOAUTH|NOPERM|TRYAGAIN|CLUSTERDOWN)\b"
)
"""Codes that concern every command: the same one may work later. In the text, because a script quotes its command's."""
_CODE: Final = re.compile(r"[A-Z]{2,20}(?=\s|$)")
_OTHER_TYPES: Final = (
    BusyLoadingError,
    ClusterDownError,
    ExecAbortError,
    MasterDownError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
)


def refusal_code(error: object) -> str:
    """The code of an error that the same command gets again and again, such as WRONGTYPE; empty for any other error.

    `error`: an exception of redis-py, or the text of an error that a script has returned.
    """
    if isinstance(error, bytes):
        error = error.decode(errors="replace")
    if isinstance(error, str):
        return "" if _NOT_NOW.search(error) else _code(error)
    if isinstance(error, DataError):  # an argument that can't be sent
        return type(error).__name__
    if not isinstance(error, ResponseError) or isinstance(error, _OTHER_TYPES):
        return ""
    return "" if _NOT_NOW.search(str(error)) else _code(str(error))


def _code(text: str) -> str:
    """The code at the start of the text. redis-py removes ERR. The text itself may quote a value."""
    found = _CODE.match(text)
    return found[0] if found else "ERR"
