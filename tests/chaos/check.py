"""The rules that must hold of a history, whatever was killed, cut or full. Pure."""

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Literal, Protocol, TypeVar

from tests.chaos.history import Case, History, ResultMessage

EXPLAINED: Final = frozenset({"poison", "attempts_exhausted"})
"""Reasons of dead letters that a run's own faults account for."""

Rule = Literal[
    "lost",
    "stranded",
    "decided twice",
    "message twice",
    "no evidence",
    "wrong outcome",
    "over budget",
    "read uncounted",
    "arrival lost",
    "arrival twice",
    "uncommitted",
    "unpublished",
    "unexplained dead letter",
    "forged unaccounted",
    "pending",
    "process died",
]


@dataclass(frozen=True, slots=True)
class Violation:
    """A rule that did not hold, of what, and how."""

    rule: Rule
    subject: str
    """A biz_id, an id, a queue or a process."""
    how: str


def check(history: History) -> list[Violation]:
    """Every violation, in the order of the rules; none when all that was promised was kept."""
    return [violation for rule in _RULES for violation in rule(history)]


def _lost(history: History) -> Iterator[Violation]:
    """Signed, final and answered 2xx: there is a decision, or a dead letter that says why not."""
    settled = {message.biz_id for message in history.messages} | {letter.biz_id for letter in history.dead}
    owed = dict.fromkeys(post.biz_id for post in history.posted if post.accepted and post.proof == "final")
    for biz_id in owed:
        if biz_id not in settled:
            yield Violation("lost", biz_id, "answered 2xx, and neither decided nor a dead letter")


def _stranded(history: History) -> Iterator[Violation]:
    """What was stored goes on, whatever its sender was told."""
    dead = {letter.biz_id for letter in history.dead}
    for case in history.cases:
        if case.carried and not case.decision and case.biz_id not in dead:
            yield Violation("stranded", case.biz_id, "an item carries the case, and it is not decided")


def _decided_twice(history: History) -> Iterator[Violation]:
    """One decision for a biz_id; another one only as a revision that names what it supersedes."""
    for biz_id, messages in _by_biz_id(history.messages).items():
        ids = {message.revision: message.id for message in messages}
        for message in messages:
            if message.supersedes != ids.get(message.revision - 1):
                how = f"revision {message.revision} does not supersede the one before it"
                yield Violation("decided twice", biz_id, how)
        if len(set(ids.values())) < len({message.id for message in messages}):
            yield Violation("decided twice", biz_id, "two decisions of the same revision")


def _message_twice(history: History) -> Iterator[Violation]:
    """No result is published twice; on another broker a repeat says the same under the same id."""
    of_results = Counter((message.id, message.biz_id, message.revision) for message in history.messages)
    repeats = {} if history.results_apart else _repeated(of_results)
    for (_, biz_id, revision), times in repeats.items():
        yield Violation("message twice", biz_id, f"revision {revision} was published {times} times")
    said: dict[str, ResultMessage] = {}
    for message in history.messages:
        if said.setdefault(message.id, message).outcome != message.outcome:
            yield Violation("message twice", message.biz_id, "the same id says another outcome")
    alerts = {} if history.results_apart else _repeated(Counter(history.alerts))
    for alert, times in alerts.items():
        yield Violation("message twice", alert, f"the alert was published {times} times")


def _no_evidence(history: History) -> Iterator[Violation]:
    """A decision rests on signed, final evidence or on an answer of GetResult's."""
    signed = {post.biz_id for post in history.posted if post.proof == "final"}
    read = {seen.biz_id for seen in history.seen if seen.finished and seen.reads}
    for message in history.messages:
        if message.biz_id not in signed | read:
            yield Violation("no evidence", message.biz_id, f"{message.outcome}, and nothing was shown")


def _wrong_outcome(history: History) -> Iterator[Violation]:
    allowed = {seen.biz_id: seen.outcomes for seen in history.seen}
    for message in history.messages:
        if message.outcome not in allowed.get(message.biz_id, {message.outcome}):
            yield Violation("wrong outcome", message.biz_id, f"{message.outcome} can't follow from its evidence")


def _over_budget(history: History) -> Iterator[Violation]:
    """The vendor counts no more reads than are allowed; without anything signed the last one is left."""
    signed = {post.biz_id for post in history.posted if post.signed}
    for seen in history.seen:
        allowed = history.budget if seen.biz_id in signed else history.budget - 1
        if seen.reads > allowed:
            yield Violation("over budget", seen.biz_id, f"read {seen.reads} times, {allowed} allowed")


def _read_uncounted(history: History) -> Iterator[Violation]:
    """The ledger counts every read that the vendor counts."""
    counted = {case.biz_id: case.reads for case in history.cases}
    for seen in history.seen:
        if seen.reads > counted.get(seen.biz_id, 0):
            how = f"the vendor counted {seen.reads} reads, the ledger {counted.get(seen.biz_id, 0)}"
            yield Violation("read uncounted", seen.biz_id, how)


def _arrivals(history: History) -> Iterator[Violation]:
    """Every genuine notify that was stored is noted on its case, once; what got another answer may be."""
    dead = Counter(letter.biz_id for letter in history.dead)
    cases = {case.biz_id: case for case in history.cases}
    for biz_id, posts in _by_biz_id(post for post in history.posted if post.proof != "forged").items():
        tries = Counter(post.channel for post in posts)
        stored = sum(post.accepted for post in posts) - dead[biz_id]
        notified, returned = _noted(cases.get(biz_id))
        if notified < stored:
            yield Violation("arrival lost", biz_id, f"{stored} notifies were stored, {notified} noted")
        if notified > tries["notify"] or returned > tries["return"]:
            how = f"{tries['notify']} notifies and {tries['return']} returns made {notified} and {returned} arrivals"
            yield Violation("arrival twice", biz_id, how)


def _committed_and_published(history: History) -> Iterator[Violation]:
    """The newest revision in the results queue is what the ledger has committed and marked, and the other way round."""
    cases = {case.biz_id: case for case in history.cases}
    newest = {message.biz_id: message for message in sorted(history.messages, key=lambda message: message.revision)}
    for biz_id, message in newest.items():
        if biz_id not in cases or cases[biz_id].decision != message.id:
            yield Violation("uncommitted", biz_id, "the ledger holds no such decision")
    published = {message.id for message in history.messages}
    for case in history.cases:
        if case.decision and not (case.published == case.decision and case.decision in published):
            where = "marked as published, and not" if case.published else "committed, and neither marked nor"
            yield Violation("unpublished", case.biz_id, f"{where} in the results queue")


def _unexplained_dead_letter(history: History) -> Iterator[Violation]:
    for letter in history.dead:
        if letter.reason not in EXPLAINED:
            yield Violation("unexplained dead letter", letter.biz_id or letter.id, f"a dead letter for {letter.reason}")


def _forged_unaccounted(history: History) -> Iterator[Violation]:
    """Every forged post that was stored is set aside as unverified, once, and nothing else is."""
    forged = _by_biz_id(post for post in history.posted if post.proof == "forged")
    aside = Counter(letter.biz_id for letter in history.unverified)
    for biz_id in dict.fromkeys((*forged, *aside)):
        posts = forged.get(biz_id, [])
        stored = sum(post.accepted for post in posts)
        if not stored <= aside[biz_id] <= len(posts):
            how = f"{stored} of {len(posts)} forged posts were stored, {aside[biz_id]} set aside"
            yield Violation("forged unaccounted", biz_id, how)


def _pending(history: History) -> Iterator[Violation]:
    for place, count in history.waiting.items():
        if count:
            yield Violation("pending", place, f"{count} items wait for ever")


def _process_died(history: History) -> Iterator[Violation]:
    for death in history.deaths:
        yield Violation("process died", death, "nobody had killed it")


_RULES: Final[tuple[Callable[[History], Iterator[Violation]], ...]] = (
    _lost,
    _stranded,
    _decided_twice,
    _message_twice,
    _no_evidence,
    _wrong_outcome,
    _over_budget,
    _read_uncounted,
    _arrivals,
    _committed_and_published,
    _unexplained_dead_letter,
    _forged_unaccounted,
    _pending,
    _process_died,
)


class _OfACase(Protocol):
    @property
    def biz_id(self) -> str: ...


T = TypeVar("T", bound=_OfACase)
H = TypeVar("H", bound=Hashable)


def _by_biz_id(items: Iterable[T]) -> dict[str, list[T]]:
    groups: dict[str, list[T]] = {}
    for item in items:
        groups.setdefault(item.biz_id, []).append(item)
    return groups


def _repeated(counts: Counter[H]) -> dict[H, int]:
    return {item: times for item, times in counts.items() if times > 1}


def _noted(case: Case | None) -> tuple[int, int]:
    return (0, 0) if case is None else (case.notified, case.returned)
