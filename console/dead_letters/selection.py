"""Which items of a shelf are meant."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from math import inf
from typing import TYPE_CHECKING, Final, Self

from shared.messaging.stored_message import Parked
from shared.messaging.topology import Stage

if TYPE_CHECKING:
    from shared.ledger.message_set import Shelf

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

    def takes(self, parked: Parked) -> bool:
        """Whether an item passes the filters."""
        wanted = (self.stage, self.reason, self.account, self.biz_id)
        found = (parked.stage, parked.reason, parked.account, parked.biz_id)
        fits = all(value in (None, own) for value, own in zip(wanted, found, strict=True))
        return fits and self.since <= parked.at <= self.until

    def up_to(self, until: float) -> Self:
        """The same, less what came later than `until`, in unix seconds."""
        return replace(self, until=min(self.until, until))

    def on(self, shelf: "Shelf") -> Iterator[Parked]:
        """The items on a shelf that are meant: by id in the order given, else oldest first."""
        items = _by_id(shelf, self.ids) if self.ids else shelf.between(self.since, self.until)
        return filter(self.takes, items)


@dataclass(slots=True)
class Survey:
    """What a selection comes to, counted before anything is done."""

    total: int = 0
    kinds: Counter[Kind] = field(default_factory=Counter)
    missing: list[str] = field(default_factory=list)
    """Ids that were asked for and are not on the shelf, or do not pass the filters."""


def survey(shelf: "Shelf", selection: Selection) -> Survey:
    """Count what is meant, by stage and reason."""
    found = Survey()
    seen = set[str]()
    for parked in selection.on(shelf):
        found.total += 1
        found.kinds[parked.stage, parked.reason] += 1
        if selection.ids:
            seen.add(parked.id)
    found.missing = [item for item in dict.fromkeys(selection.ids) if item not in seen]
    return found


def size(shelf: "Shelf", selection: Selection) -> Survey:
    """The same without the kinds, and without reading a single item where times are all that matters."""
    if replace(selection, since=-inf, until=inf).is_narrow:
        return survey(shelf, selection)
    return Survey(shelf.count(selection.since, selection.until))


def _by_id(shelf: "Shelf", ids: tuple[str, ...]) -> Iterator[Parked]:
    waiting = iter(dict.fromkeys(ids))
    while page := list(islice(waiting, IDS_AT_ONCE)):
        yield from shelf.get(page)
