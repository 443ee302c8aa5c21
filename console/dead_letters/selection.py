"""Which items of a message set are meant."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from math import inf
from typing import TYPE_CHECKING, Final, Self

from shared.messaging.stored_message import StoredMessage
from shared.messaging.topology import Stage

if TYPE_CHECKING:
    from shared.ledger.message_set import MessageSet

IDS_AT_ONCE: Final = 500
Kind = tuple[Stage, str]
"""A stage and a reason."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Ids, or all that passes the filters; with ids, those of them that pass. Empty means: does not matter."""

    ids: tuple[str, ...] = ()
    stage: Stage | None = None
    reason: str | None = None
    account: str | None = None
    biz_id: str | None = None
    since: float = -inf
    until: float = inf

    @property
    def is_narrow(self) -> bool:
        """Whether it says anything at all."""
        return self != Selection()

    def takes(self, stored: StoredMessage) -> bool:
        """Whether an item passes the filters."""
        wanted = (self.stage, self.reason, self.account, self.biz_id)
        found = (stored.stage, stored.reason, stored.account, stored.biz_id)
        fits = all(value in (None, own) for value, own in zip(wanted, found, strict=True))
        return fits and self.since <= stored.at <= self.until

    def up_to(self, until: float) -> Self:
        """The same, less what came later than `until`, in unix seconds."""
        return replace(self, until=min(self.until, until))

    def on(self, message_set: "MessageSet") -> Iterator[StoredMessage]:
        """The items on a message set that are meant: by id in the order given, else oldest first."""
        items = _by_id(message_set, self.ids) if self.ids else message_set.between(self.since, self.until)
        return filter(self.takes, items)


@dataclass(slots=True)
class Survey:
    """What a selection comes to, counted before anything is done."""

    total: int = 0
    kinds: Counter[Kind] = field(default_factory=Counter)
    missing: list[str] = field(default_factory=list)
    """Ids that were asked for and are not on the message set, or do not pass the filters."""


def survey(message_set: "MessageSet", selection: Selection) -> Survey:
    """Count what is meant, by stage and reason."""
    found = Survey()
    seen = set[str]()
    for stored in selection.on(message_set):
        found.total += 1
        found.kinds[stored.stage, stored.reason] += 1
        if selection.ids:
            seen.add(stored.id)
    found.missing = [item for item in dict.fromkeys(selection.ids) if item not in seen]
    return found


def size(message_set: "MessageSet", selection: Selection) -> Survey:
    """The same without the kinds, and without reading a single item where times are all that matters."""
    if replace(selection, since=-inf, until=inf).is_narrow:
        return survey(message_set, selection)
    return Survey(message_set.count(selection.since, selection.until))


def _by_id(message_set: "MessageSet", ids: tuple[str, ...]) -> Iterator[StoredMessage]:
    waiting = iter(dict.fromkeys(ids))
    while page := list(islice(waiting, IDS_AT_ONCE)):
        yield from message_set.get(page)
