"""Read current decisions from the ledger, in pages, so that a large ledger needs little memory."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from math import inf
from typing import Final, cast

from redis import Redis

from shared.events.decision import Decision
from shared.ledger.case_fields import read_text, text_fields
from shared.ledger.case_key import CaseKey, case_key

PAGE: Final = 500
"""Cases in a page: a few megabytes at most."""
FIELDS: Final = ("published", *text_fields("decision"))


@dataclass(frozen=True, slots=True)
class Wanted:
    """Ids and filters: a decision is wanted when it passes all of them. An empty one wants every decision."""

    ids: frozenset[str] = frozenset()
    """Ids of events."""
    biz_ids: tuple[str, ...] = ()
    account: str | None = None
    outcome: str | None = None
    since: float = -inf
    """Unix seconds: when the decision was made."""
    until: float = inf

    def takes(self, decision: Decision) -> bool:
        """Whether a decision passes the filters."""
        fits = self.outcome in (None, decision.outcome) and (not self.ids or decision.id in self.ids)
        return fits and self.since <= datetime.fromisoformat(decision.decided_at).timestamp() <= self.until


@dataclass(slots=True)
class ScanCounts:
    """What a scan has found of the wanted decisions."""

    outcomes: Counter[str] = field(default_factory=Counter)
    """Of the published decisions."""
    unpublished: int = 0
    """Decisions that the workers have still to publish."""
    seen: set[str] = field(default_factory=set)
    """The wanted ids and biz_ids that were found."""

    def missing(self, wanted: Wanted) -> list[str]:
        """The wanted ids and biz_ids that were not found, or that don't pass the filters."""
        return [name for name in (*sorted(wanted.ids), *dict.fromkeys(wanted.biz_ids)) if name not in self.seen]


def scan_decisions(
    redis: Redis, prefix: str, accounts: Sequence[str], wanted: Wanted, found: ScanCounts
) -> Iterator[Decision]:
    """The wanted decisions that are published, in no order, and counted in `found`.

    A decision may come twice when Redis resizes its key table meanwhile (SCAN).
    """
    named = [wanted.account] if wanted.account else accounts
    pages = _named(prefix, named, wanted) if wanted.biz_ids else _scanned(redis, prefix, wanted)
    for page in pages:
        for decision, published in _read(redis, page):
            if wanted.takes(decision):
                _count(found, decision, published, wanted)
                if published:
                    yield decision
        if wanted.ids and wanted.ids <= found.seen:
            return


def _count(found: ScanCounts, decision: Decision, published: bool, wanted: Wanted) -> None:
    if wanted.ids:
        found.seen.add(decision.id)
    if wanted.biz_ids:
        found.seen.add(decision.biz_id)
    if published:
        found.outcomes[decision.outcome] += 1
    else:
        found.unpublished += 1


def _named(prefix: str, accounts: Sequence[str], wanted: Wanted) -> Iterator[Sequence[str]]:
    biz_ids = dict.fromkeys(wanted.biz_ids)
    keys = (case_key(prefix, CaseKey(account, biz_id)) for account in accounts for biz_id in biz_ids)
    while page := list(islice(keys, PAGE)):
        yield page


def _scanned(redis: Redis, prefix: str, wanted: Wanted) -> Iterator[Sequence[bytes]]:
    cursor, pattern = 0, case_key(prefix, CaseKey(wanted.account or "*", "*"))
    while True:
        cursor, page = cast("tuple[int, list[bytes]]", redis.scan(cursor, pattern, PAGE))
        yield page
        if cursor == 0:
            return


def _read(redis: Redis, keys: Iterable[str | bytes]) -> Iterator[tuple[Decision, bool]]:
    """The decisions of these cases, each with whether it is published."""
    with redis.pipeline(transaction=False) as pipe:
        for key in keys:
            pipe.hmget(key, FIELDS)
        rows = cast("list[list[bytes | None]]", pipe.execute())
    for row in rows:
        fields = {name: value for name, value in zip(FIELDS, row, strict=True) if value is not None}
        if decision := read_text(fields, "decision"):
            yield Decision.model_validate_json(decision), "published" in fields
