"""Cases, and the keys in Redis that belong to one."""

from typing import Final, NamedTuple

COUNTER_SECONDS: Final = 60
"""How long one counter counts."""


class CaseKey(NamedTuple):
    """Which case: an account and the biz_id that FaceID gave it."""

    account: str
    biz_id: str


def case_key(prefix: str, case: CaseKey) -> str:
    """`faceid:case:{ACCOUNT}:BIZ_ID`; the braces keep an account's keys in one slot."""
    return f"{prefix}:case:{{{case.account}}}:{case.biz_id}"


def outbox_keys(prefix: str) -> tuple[str, str]:
    """The message set of what any worker has to publish, and its items."""
    return f"{prefix}:outbox", f"{prefix}:outbox:items"


def biz_no_key(prefix: str, account: str, biz_no: str) -> str:
    """Where the biz_id of a customer's own number is found."""
    return f"{prefix}:biz_no:{{{account}}}:{biz_no}"


def account_key(prefix: str, account: str) -> str:
    """Where an account's breaker is: present only while something is amiss."""
    return f"{prefix}:account:{{{account}}}"


def counter_key(prefix: str, account: str, now: float) -> str:
    """The account's counters of this minute; `now` in unix seconds."""
    return f"{prefix}:counters:{{{account}}}:{int(now // COUNTER_SECONDS)}"


def release_command(prefix: str, case: CaseKey) -> tuple[str, ...]:
    """The Redis command that lets another item carry the case, for when its own ends among the dead letters."""
    return ("HDEL", case_key(prefix, case), "owner", "signed_recheck", "unsigned_recheck")
