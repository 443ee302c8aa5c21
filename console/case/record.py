"""Read everything that Redis holds about a case, except its raw evidence."""

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
"""Fields with what FaceID posted and what GetResult answered. Only their lengths are read."""
MESSAGE_SETS: Final[tuple[SetName, ...]] = ("delayed", "dead", "unverified")
_ITEM_FIELDS: Final = ("owner", "signed_recheck", "unsigned_recheck")


@dataclass(frozen=True, slots=True)
class CaseRecord:
    """The fields of a case, and its items in the message sets."""

    case: CaseKey
    fields: dict[str, str]
    evidence_bytes: dict[str, int]
    """Lengths of the fields that are not read."""
    stored: tuple[tuple[SetName, StoredMessage], ...] = ()
    in_outbox: bool = False
    """Whether the current decision is in the outbox, so that a worker has still to publish it."""


def find(redis: Redis, prefix: str, accounts: Iterable[str], name: str) -> CaseRecord | None:
    """The case with this biz_id, or else with this biz_no, in the first account that has one."""
    for account in accounts:
        for biz_id in (name, _by_biz_no(redis, prefix, account, name)):
            if biz_id and (record := _read(redis, prefix, CaseKey(account, biz_id))):
                return record
    return None


def item_ids(fields: Iterable[str], values: dict[str, str]) -> list[str]:
    """The ids of all items that the case mentions."""
    found = [name.partition(":")[2] for name in fields if name.startswith("arrival:")]
    found += [name.partition(":")[2].rpartition(":")[0] for name in fields if name.startswith(("replay:", "drop:"))]
    found += [values[name] for name in _ITEM_FIELDS if name in values]
    return list(dict.fromkeys(found))


def _by_biz_no(redis: Redis, prefix: str, account: str, biz_no: str) -> str:
    found = cast("bytes | None", redis.get(biz_no_key(prefix, account, biz_no)))
    return found.decode() if found else ""


def _read(redis: Redis, prefix: str, case: CaseKey) -> CaseRecord | None:
    key = case_key(prefix, case)
    names = [name for raw in cast("list[bytes]", redis.hkeys(key)) if (name := raw.decode()) not in EVIDENCE]
    if not names:
        return None
    values = cast("list[bytes | None]", redis.hmget(key, names))
    fields = {name: value.decode() for name, value in zip(names, values, strict=True) if value is not None}
    lengths = {name: redis.hstrlen(key, name) for name in EVIDENCE}
    ids = item_ids(fields, fields)
    stored = tuple((name, item) for name in MESSAGE_SETS for item in MessageSet(redis, prefix, name).get(ids))
    evidence_bytes = {name: length for name, length in lengths.items() if length}
    return CaseRecord(case, fields, evidence_bytes, stored, _is_in_outbox(redis, prefix, fields))


def _is_in_outbox(redis: Redis, prefix: str, fields: dict[str, str]) -> bool:
    if not any(name.startswith("superseded:") for name in fields):
        return False
    return bool(
        MessageSet(redis, prefix, "outbox").get([outbox_item_id(Decision.model_validate_json(fields["decision"]))])
    )
