"""What each fault has cost in time. Pure."""

from bisect import bisect
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tests.chaos.history import History
from tests.chaos.plan import Strike


@dataclass(frozen=True, slots=True)
class Blow:
    """A strike that has been struck; the times in unix seconds."""

    strike: Strike
    began: float
    ended: float


@dataclass(frozen=True, slots=True)
class Toll:
    """All blows of one fault; every time in seconds."""

    fault: str
    blows: int
    lasted: float
    went_on: tuple[float, ...]
    """From the end of each to the first decision after it, as far as there was one."""
    waits: tuple[float, ...]
    """From the first 2xx to the decision, of the cases that were open while one of them lasted."""


@dataclass(frozen=True, slots=True)
class _Open:
    since: float
    until: float


def tolls(blows: Iterable[Blow], history: History) -> list[Toll]:
    """One for each fault, in the order in which they first struck."""
    by_fault: dict[str, list[Blow]] = {}
    for blow in sorted(blows, key=lambda blow: blow.began):
        by_fault.setdefault(blow.strike.fault, []).append(blow)
    decided = sorted(message.at for message in history.messages)
    cases = _cases(history)
    return [
        Toll(
            fault,
            len(struck),
            sum(blow.ended - blow.began for blow in struck),
            tuple(at - blow.ended for blow in struck for at in _first_after(blow.ended, decided)),
            tuple(case.until - case.since for case in cases if any(_overlap(case, blow) for blow in struck)),
        )
        for fault, struck in by_fault.items()
    ]


def _cases(history: History) -> list[_Open]:
    """When each case was open: from the first 2xx for signed, final evidence to the decision."""
    since: dict[str, float] = {}
    for post in history.posted:
        if post.accepted and post.proof == "final":
            since[post.biz_id] = min(post.at, since.get(post.biz_id, post.at))
    until = {message.biz_id: message.at for message in reversed(history.messages)}
    return [_Open(at, until[biz_id]) for biz_id, at in since.items() if biz_id in until]


def _first_after(moment: float, times: Sequence[float]) -> Sequence[float]:
    following = bisect(times, moment)
    return times[following : following + 1]


def _overlap(case: _Open, blow: Blow) -> bool:
    return case.since <= blow.ended and case.until >= blow.began
