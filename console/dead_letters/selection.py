"""Which items of a message set a command selects."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from math import inf
from typing import Final, Self, get_args

from console.terminal.errors import UsageError
from shared.ledger.message_set import MessageSet, SetName
from shared.messaging.reasons import DeadReason, UnverifiedReason
from shared.messaging.stored_message import StoredMessage
from shared.messaging.topology import Stage

_NOUNS: Final[dict[SetName, str]] = {"dead": "dead letter", "unverified": "unverified callback"}
REASONS: Final[dict[SetName, tuple[str, ...]]] = {
    "dead": get_args(DeadReason),
    "unverified": get_args(UnverifiedReason),
}
IDS_AT_ONCE: Final = 500
Kind = tuple[Stage, str]
"""A stage and a reason."""


def noun(name: SetName, count: int = 2) -> str:
    """What the items of a message set are called: `dead letter` for one, `dead letters` for several."""
    return _NOUNS[name] if count == 1 else f"{_NOUNS[name]}s"


@dataclass(frozen=True, slots=True)
class Selection:
    """Ids and filters: an item is selected when it passes all of them. An empty one selects every item."""

    ids: tuple[str, ...] = ()
    stage: Stage | None = None
    reason: str | None = None
    account: str | None = None
    biz_id: str | None = None
    since: float = -inf
    """Unix seconds: when the item was stored."""
    until: float = inf

    def within(self, name: SetName) -> Self:
        """This selection. Raises `UsageError` for a reason that no item of this message set can have."""
        if self.reason not in (None, *REASONS[name]):
            reasons = ", ".join(REASONS[name])
            raise UsageError(f"The {noun(name)} have no such reason.", f"The reasons are {reasons}.")
        return self

    def require(self, everything: bool) -> Self:
        """This selection. Raises `UsageError` unless there are ids or filters, or else `everything` (--all)."""
        if everything == (self != Selection()):
            raise UsageError("Give ids, or filters such as --reason, or --all alone.")
        return self

    def takes(self, stored: StoredMessage) -> bool:
        """Whether an item passes the filters."""
        wanted = (self.stage, self.reason, self.account, self.biz_id)
        found = (stored.stage, stored.reason, stored.account, stored.biz_id)
        fits = all(value in (None, own) for value, own in zip(wanted, found, strict=True))
        return fits and self.since <= stored.at <= self.until

    def up_to(self, until: float) -> Self:
        """The same without the items stored after `until`, in unix seconds."""
        return replace(self, until=min(self.until, until))

    def find(self, message_set: MessageSet) -> Iterator[StoredMessage]:
        """The selected items of a message set: with ids in their order, else oldest first."""
        items = _by_id(message_set, self.ids) if self.ids else message_set.between(self.since, self.until)
        return filter(self.takes, items)


def select(
    ids: Sequence[str] | None,
    stage: Stage | None,
    reason: str | None,
    account: str | None,
    biz_id: str | None,
    since: float | None,
    until: float | None,
) -> Selection:
    """The selection that these options mean; None for an option that is not given."""
    since = -inf if since is None else since
    until = inf if until is None else until
    return Selection(tuple(ids or ()), stage, reason, account, biz_id, since, until)


@dataclass(slots=True)
class SelectionCounts:
    """How many items a selection has, counted before anything is done."""

    total: int = 0
    kinds: Counter[Kind] = field(default_factory=Counter)
    missing: list[str] = field(default_factory=list)
    """Ids that are not in the message set, or that don't pass the filters."""


def count_by_kind(message_set: MessageSet, selection: Selection) -> SelectionCounts:
    """Count the selected items by stage and reason. Reads all of them."""
    counts, seen = SelectionCounts(), set[str]()
    for stored in selection.find(message_set):
        counts.total += 1
        counts.kinds[stored.stage, stored.reason] += 1
        if selection.ids:
            seen.add(stored.id)
    counts.missing = [item for item in dict.fromkeys(selection.ids) if item not in seen]
    return counts


def count(message_set: MessageSet, selection: Selection) -> SelectionCounts:
    """Count the selected items. Without ids and filters other than times, none is read and `kinds` stays empty."""
    if replace(selection, since=-inf, until=inf) != Selection():
        return count_by_kind(message_set, selection)
    return SelectionCounts(message_set.count(selection.since, selection.until))


def _by_id(message_set: MessageSet, ids: tuple[str, ...]) -> Iterator[StoredMessage]:
    remaining = iter(dict.fromkeys(ids))
    while page := list(islice(remaining, IDS_AT_ONCE)):
        yield from message_set.get(page)
