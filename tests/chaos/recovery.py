"""How long it took until work went on after each fault. Pure."""

from bisect import bisect
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tests.chaos.history import History, InjectedFault


@dataclass(frozen=True, slots=True)
class Recovery:
    """One fault, however often it was injected; every time in seconds."""

    fault: str
    times: int
    lasted: float
    """All together."""
    went_on: tuple[float, ...]
    """From the end of each to the first decision after it, where there was one."""
    waits: tuple[float, ...]
    """From the first 2xx to the decision, of the cases that were open while one of them lasted."""


@dataclass(frozen=True, slots=True)
class _Open:
    since: float
    until: float


def recoveries(history: History) -> list[Recovery]:
    """One for each fault, in the order in which they were first injected."""
    by_fault: dict[str, list[InjectedFault]] = {}
    for injected in sorted(history.injected, key=lambda injected: injected.began):
        by_fault.setdefault(injected.fault, []).append(injected)
    decided = sorted(message.at for message in history.messages)
    cases = _cases(history)
    return [
        Recovery(
            fault,
            len(injected),
            sum(one.ended - one.began for one in injected),
            tuple(at - one.ended for one in injected for at in _first_after(one.ended, decided)),
            tuple(case.until - case.since for case in cases if any(_overlap(case, one) for one in injected)),
        )
        for fault, injected in by_fault.items()
    ]


def _cases(history: History) -> Iterable[_Open]:
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


def _overlap(case: _Open, injected: InjectedFault) -> bool:
    return case.since <= injected.ended and case.until >= injected.began
