"""The rules of the ledger, the queues and the processes: everything is counted, published, and comes to an end."""

from collections import Counter
from collections.abc import Iterator
from typing import Final

from tests.chaos.bad_items import BAD
from tests.chaos.history import Case, History
from tests.chaos.violation import Violation, by_biz_id

EXPLAINED: Final = frozenset({"poison", "attempts_exhausted"})
"""Reasons of dead letters that injected faults account for."""


def over_budget(history: History) -> Iterator[Violation]:
    """The vendor counts no more reads than are allowed; without anything signed the last one is left."""
    signed = {post.biz_id for post in history.posted if post.signed}
    for session in history.vendor_sessions:
        allowed = history.budget if session.biz_id in signed else history.budget - 1
        if session.reads > allowed:
            yield Violation("over budget", session.biz_id, f"read {session.reads} times, {allowed} allowed")


def read_uncounted(history: History) -> Iterator[Violation]:
    """The ledger counts every read that the vendor counts."""
    counted = {case.biz_id: case.reads for case in history.cases}
    for session in history.vendor_sessions:
        if session.reads > counted.get(session.biz_id, 0):
            how = f"the vendor counted {session.reads} reads, the ledger {counted.get(session.biz_id, 0)}"
            yield Violation("read uncounted", session.biz_id, how)


def arrivals(history: History) -> Iterator[Violation]:
    """Every genuine notify that was stored is noted on its case, once. One with another answer may be noted."""
    dead = Counter(item.biz_id for item in history.dead)
    cases = {case.biz_id: case for case in history.cases}
    for biz_id, posts in by_biz_id(post for post in history.posted if post.proof != "forged").items():
        tries = Counter(post.channel for post in posts)
        stored = sum(post.accepted for post in posts) - dead[biz_id]
        notified, returned = _noted(cases.get(biz_id))
        if notified < stored:
            yield Violation("arrival lost", biz_id, f"{stored} notifies were stored, {notified} noted")
        if notified > tries["notify"] or returned > tries["return"]:
            how = f"{tries['notify']} notifies and {tries['return']} returns made {notified} and {returned} arrivals"
            yield Violation("arrival twice", biz_id, how)


def _noted(case: Case | None) -> tuple[int, int]:
    return (0, 0) if case is None else (case.notified, case.returned)


def committed_and_published(history: History) -> Iterator[Violation]:
    """The newest revision in the results queue is what the ledger has committed and marked, and the reverse."""
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


def unexplained_dead_letter(history: History) -> Iterator[Violation]:
    """Dead letters have reasons that injected faults account for."""
    for item in history.dead:
        if item.reason not in EXPLAINED and not (item.reason == "undecodable" and f":{BAD}" in item.id):
            yield Violation("unexplained dead letter", item.biz_id or item.id, f"a dead letter for {item.reason}")


def forged_unaccounted(history: History) -> Iterator[Violation]:
    """Every forged callback that was stored is unverified, once, and nothing else is.

    While Redis is full unverified callbacks are deleted, so then some may be missing.
    """
    dropped = any(fault.fault == "fill-redis" for fault in history.injected)
    forged = by_biz_id(post for post in history.posted if post.proof == "forged")
    unverified = Counter(item.biz_id for item in history.unverified)
    for biz_id in dict.fromkeys((*forged, *unverified)):
        posts = forged.get(biz_id, [])
        stored = sum(post.accepted for post in posts)
        if not (0 if dropped else stored) <= unverified[biz_id] <= len(posts):
            how = f"{stored} of {len(posts)} forged callbacks were stored, {unverified[biz_id]} are unverified"
            yield Violation("forged unaccounted", biz_id, how)


def pending(history: History) -> Iterator[Violation]:
    """Nothing waits anywhere at the end."""
    for place, count in history.waiting.items():
        if count:
            yield Violation("pending", place, f"{count} items still wait")


def process_died(history: History) -> Iterator[Violation]:
    """No process ends but by an injected fault."""
    for death in history.deaths:
        yield Violation("process died", death, "no injected fault had killed it")
