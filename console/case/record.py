"""What Redis holds on a case, read without its raw evidence."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, cast

from redis import Redis

from shared.events.decision import Decision
from shared.ledger.case_key import CaseKey, biz_no_key, case_key
from shared.ledger.message_set import MessageSet, SetName
from shared.ledger.superseding import outbox_item_id
from shared.messaging.stored_message import StoredMessage

EVIDENCE: Final = ("callback", "raw", "set_aside")
"""Fields with what FaceID posted and what GetResult answered: never read, only measured."""
MESSAGE_SETS: Final[tuple[SetName, ...]] = ("delayed", "dead", "unverified")
_ITEM_FIELDS: Final = ("owner", "signed_recheck", "unsigned_recheck")


@dataclass(frozen=True, slots=True)
class CaseRecord:
    """The fields of a case, and the items of it that rest outside the queues."""

    case: CaseKey
    fields: dict[str, str]
    evidence_bytes: dict[str, int]
    """Lengths of the fields that are not read."""
    resting: tuple[tuple[SetName, StoredMessage], ...] = ()
    sending: bool = False
    """Whether the decision that stands lies in the outbox, where no worker has taken it up yet."""


def find(redis: "Redis", prefix: str, accounts: Iterable[str], name: str) -> CaseRecord | None:
    """The case of a biz_id, or else of a biz_no, in the first account that has one."""
    for account in accounts:
        for biz_id in (name, _by_biz_no(redis, prefix, account, name)):
            if biz_id and (record := _read(redis, prefix, CaseKey(account, biz_id))):
                return record
    return None


def items(fields: Iterable[str], values: dict[str, str]) -> list[str]:
    """The ids of all items that the case has a trace of."""
    traced = [name.partition(":")[2] for name in fields if name.startswith("arrival:")]
    traced += [name.partition(":")[2].rpartition(":")[0] for name in fields if name.startswith(("replay:", "drop:"))]
    traced += [values[name] for name in _ITEM_FIELDS if name in values]
    return list(dict.fromkeys(traced))


def _by_biz_no(redis: "Redis", prefix: str, account: str, biz_no: str) -> str:
    found = cast("bytes | None", redis.get(biz_no_key(prefix, account, biz_no)))
    return found.decode() if found else ""


def _read(redis: "Redis", prefix: str, case: CaseKey) -> CaseRecord | None:
    key = case_key(prefix, case)
    names = [name for raw in cast("list[bytes]", redis.hkeys(key)) if (name := raw.decode()) not in EVIDENCE]
    if not names:
        return None
    values = cast("list[bytes | None]", redis.hmget(key, names))
    fields = {name: value.decode() for name, value in zip(names, values, strict=True) if value is not None}
    lengths = {name: redis.hstrlen(key, name) for name in EVIDENCE}
    traced, sending = items(fields, fields), _lies_in_outbox(redis, prefix, fields)
    resting = tuple(
        (message_set, stored)
        for message_set in MESSAGE_SETS
        for stored in MessageSet(redis, prefix, message_set).get(traced)
    )
    return CaseRecord(case, fields, {name: length for name, length in lengths.items() if length}, resting, sending)


def _lies_in_outbox(redis: "Redis", prefix: str, fields: dict[str, str]) -> bool:
    if not any(name.startswith("superseded:") for name in fields):
        return False
    return bool(
        MessageSet(redis, prefix, "outbox").get([outbox_item_id(Decision.model_validate_json(fields["decision"]))])
    )
