"""The case key, and the Redis keys of a case."""

from typing import Final, NamedTuple

COUNTER_SECONDS: Final = 60
"""How long one counter counts."""


class CaseKey(NamedTuple):
    """Identifies a case: the account, and the biz_id that FaceID gave the verification."""

    account: str
    biz_id: str


def case_key(prefix: str, case: CaseKey) -> str:
    """The key of the case's hash: `faceid:case:{ACCOUNT}:BIZ_ID`."""
    return f"{prefix}:case:{{{case.account}}}:{case.biz_id}"


def message_set_keys(prefix: str, name: str) -> tuple[str, str]:
    """The keys of a message set: the sorted set of item ids, and the hash of the items."""
    return f"{prefix}:{name}", f"{prefix}:{name}:items"


def bytes_key(prefix: str, name: str) -> str:
    """The key of the bytes of all items of a message set."""
    return f"{prefix}:{name}:bytes"


def trimmed_key(prefix: str) -> str:
    """The key of the counts of items that maintenance has dropped from message sets."""
    return f"{prefix}:trimmed"


def biz_no_key(prefix: str, account: str, biz_no: str) -> str:
    """The key of the string that holds the biz_id for a customer's own number (`biz_no`)."""
    return f"{prefix}:biz_no:{{{account}}}:{biz_no}"


def account_key(prefix: str, account: str) -> str:
    """The key of the account's circuit breaker. It exists only after failed GetResult calls."""
    return f"{prefix}:account:{{{account}}}"


def counter_key(prefix: str, account: str, now: float) -> str:
    """The account's counters of this minute; `now` in unix seconds."""
    return f"{prefix}:counters:{{{account}}}:{int(now // COUNTER_SECONDS)}"


def release_command(prefix: str, case: CaseKey) -> tuple[str, ...]:
    """The Redis command that removes the case's owner, so that another item can own it. Run when the owner dies."""
    return ("HDEL", case_key(prefix, case), "owner", "signed_recheck", "unsigned_recheck")
