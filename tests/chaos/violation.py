"""A rule that a history breaks, and what the rules share."""

from collections import Counter
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from typing import Literal, Protocol, TypeVar

Rule = Literal[
    "lost",
    "stranded",
    "decided twice",
    "message twice",
    "no evidence",
    "wrong outcome",
    "not reconciled",
    "over budget",
    "read uncounted",
    "arrival lost",
    "arrival twice",
    "uncommitted",
    "unpublished",
    "alert missing",
    "alert unfounded",
    "unexplained dead letter",
    "forged unaccounted",
    "pending",
    "process died",
]


@dataclass(frozen=True, slots=True)
class Violation:
    """A rule that did not hold, for what, and how."""

    rule: Rule
    subject: str
    """A biz_id, an id, a kind of alert, a queue or a process."""
    how: str


class _OfACase(Protocol):
    @property
    def biz_id(self) -> str: ...


T = TypeVar("T", bound=_OfACase)
H = TypeVar("H", bound=Hashable)


def by_biz_id(items: Iterable[T]) -> dict[str, list[T]]:
    """The items of each case."""
    groups: dict[str, list[T]] = {}
    for item in items:
        groups.setdefault(item.biz_id, []).append(item)
    return groups


def repeated(counts: Counter[H]) -> dict[H, int]:
    """What was counted more than once, and how often."""
    return {item: times for item, times in counts.items() if times > 1}
