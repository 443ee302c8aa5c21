"""Read everything that Redis holds about a case."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, cast

from redis import Redis

from console.terminal.errors import CommandError
from shared.compression import UnreadableText
from shared.events.decision import Decision
from shared.ledger.case_fields import read_decisions, read_signed_texts, read_text, read_values
from shared.ledger.case_key import CaseKey, biz_no_key
from shared.ledger.case_reader import read_fields
from shared.ledger.message_set import MessageSet, SetName
from shared.ledger.superseding import outbox_item_id
from shared.messaging.stored_message import StoredMessage

MESSAGE_SETS: Final[tuple[SetName, ...]] = ("delayed", "dead", "unverified")
_ITEM_FIELDS: Final = ("owner", "signed_recheck", "unsigned_recheck")


@dataclass(frozen=True, slots=True)
class StoredTexts:
    """What FaceID has sent about a case, as far as it is stored."""

    callbacks: tuple[str, ...] = field(default=(), repr=False)
    """The signed texts that differ, oldest first."""
    get_result: str | None = field(default=None, repr=False)
    """GetResult's answer."""
    set_aside: str | None = field(default=None, repr=False)
    """An earlier answer that was no final result."""


@dataclass(frozen=True, slots=True)
class CaseRecord:
    """The fields of a case, and its items in the message sets."""

    case: CaseKey
    fields: dict[str, str]
    """Without the texts in `texts`."""
    texts: StoredTexts = StoredTexts()
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
    found = read_fields(redis, prefix, case)
    if not found:
        return None
    try:
        fields, texts = read_values(found) | read_decisions(found), _texts(found)
    except UnreadableText as error:
        raise CommandError(f"A stored text can't be read: {error}.", "Use the version of the workers.") from None
    ids = item_ids(fields, fields)
    stored = tuple((name, item) for name in MESSAGE_SETS for item in MessageSet(redis, prefix, name).get(ids))
    return CaseRecord(case, fields, texts, stored, _is_in_outbox(redis, prefix, fields))


def _texts(found: dict[str, bytes]) -> StoredTexts:
    answer, set_aside = (read_text(found, name) for name in ("raw", "set_aside"))
    return StoredTexts(read_signed_texts(found), _decoded(answer), _decoded(set_aside))


def _decoded(text: bytes | None) -> str | None:
    return None if text is None else text.decode(errors="replace")


def _is_in_outbox(redis: Redis, prefix: str, fields: dict[str, str]) -> bool:
    if not any(name.startswith("superseded:") for name in fields):
        return False
    return bool(
        MessageSet(redis, prefix, "outbox").get([outbox_item_id(Decision.model_validate_json(fields["decision"]))])
    )
