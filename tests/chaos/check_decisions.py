"""The rules of decisions: none is lost, doubled or wrong, and each rests on evidence."""

from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from typing import Final

from tests.chaos.history import History, InjectedFault, Posted, ResultMessage, VendorSession
from tests.chaos.plan import FAULTS
from tests.chaos.violation import Violation, by_biz_id, repeated

BUDGET_SPENT: Final = "BUDGET_SPENT"
AFTERMATH: Final = 10.0
"""Seconds for which a fault may still be felt: a read of a dead worker is given up, processes and brokers start."""


def lost(history: History) -> Iterator[Violation]:
    """Signed, final and answered 2xx: there is a decision, or a dead letter that says why not."""
    settled = {message.biz_id for message in history.messages} | {item.biz_id for item in history.dead}
    owed = dict.fromkeys(post.biz_id for post in history.posted if post.accepted and post.proof == "final")
    for biz_id in owed:
        if biz_id not in settled:
            yield Violation("lost", biz_id, "answered 2xx, and neither decided nor a dead letter")


def stranded(history: History) -> Iterator[Violation]:
    """A case with an owner is decided, whatever the sender of its callback was told."""
    dead = {item.biz_id for item in history.dead}
    for case in history.cases:
        if case.owned and not case.decision and case.biz_id not in dead:
            yield Violation("stranded", case.biz_id, "an item owns the case, and it is not decided")


def decided_twice(history: History) -> Iterator[Violation]:
    """One decision for a biz_id. A revision names the one that it replaces, and has a cause."""
    for biz_id, messages in by_biz_id(history.messages).items():
        revisions = {message.revision: message for message in messages}
        for message in messages:
            before = revisions.get(message.revision - 1)
            if message.supersedes != (before.id if before else None):
                how = f"revision {message.revision} does not supersede the one before it"
                yield Violation("decided twice", biz_id, how)
            if before and not _may_supersede(message, before):
                how = f"neither an answer of GetResult's nor a contradiction explains revision {message.revision}"
                yield Violation("decided twice", biz_id, how)
        if len(revisions) < len({message.id for message in messages}):
            yield Violation("decided twice", biz_id, "two decisions of the same revision")


def _may_supersede(message: ResultMessage, before: ResultMessage) -> bool:
    if before.not_reconciled and not message.not_reconciled:
        return True
    return (before.outcome, message.outcome) == ("APPROVED", "REVIEW") and "EVIDENCE_MISMATCH" in message.reasons


def message_twice(history: History) -> Iterator[Violation]:
    """No decision is published twice. On another broker a repeat says the same under the same id."""
    ids = Counter((message.id, message.biz_id, message.revision) for message in history.messages)
    for (_, biz_id, revision), times in ({} if history.results_apart else repeated(ids)).items():
        yield Violation("message twice", biz_id, f"revision {revision} was published {times} times")
    first: dict[str, ResultMessage] = {}
    for message in history.messages:
        if first.setdefault(message.id, message).outcome != message.outcome:
            yield Violation("message twice", message.biz_id, "the same id has another outcome")


def no_evidence(history: History) -> Iterator[Violation]:
    """A decision rests on signed, final evidence or on an answer of GetResult's."""
    signed = {post.biz_id for post in history.posted if post.proof == "final"}
    read = {session.biz_id for session in history.vendor_sessions if session.finished and session.reads}
    for message in history.messages:
        if message.biz_id not in signed | read:
            yield Violation("no evidence", message.biz_id, f"{message.outcome}, and there is no evidence")


def wrong_outcome(history: History) -> Iterator[Violation]:
    """The outcome follows from what was decided on: GetResult's answer, or a signed callback where there is none."""
    sessions = {session.biz_id: session for session in history.vendor_sessions}
    posted = by_biz_id(history.posted)
    for message in history.messages:
        session = sessions.get(message.biz_id)
        allowed = _allowed(message, session, posted.get(message.biz_id, [])) if session else set()
        if message.outcome not in allowed:
            expected = " or ".join(sorted(allowed)) or "no decision"
            yield Violation("wrong outcome", message.biz_id, f"{message.outcome} instead of {expected}")


def _allowed(message: ResultMessage, session: VendorSession, posted: list[Posted]) -> set[str]:
    """The outcomes that this message may have."""
    if not session.outcome:
        return set()
    contradicted = session.contradiction and len(_final_statuses(posted)) > 1
    if not message.not_reconciled:
        return {"REVIEW"} if contradicted and "EVIDENCE_MISMATCH" in message.reasons else {session.outcome}
    allowed = {_unconfirmed(session.outcome)}
    if contradicted:
        allowed.add(_unconfirmed(session.contradiction))
    if any(post.proof == "unfinished" for post in posted):  # decided on a callback that says nothing yet
        allowed.add("UNDETERMINED")
    return allowed


def _unconfirmed(outcome: str) -> str:
    """What a signed callback leads to that GetResult could not confirm: it alone never approves."""
    return "REVIEW" if outcome == "APPROVED" else outcome


def _final_statuses(posted: list[Posted]) -> set[str]:
    return {post.status for post in posted if post.proof == "final"}


def not_reconciled(history: History) -> Iterator[Violation]:
    """A decision lacks GetResult's answer only where injected faults have burnt the budget and no answer came later."""
    reads = {case.biz_id: case.reads for case in history.cases}
    signed = {post.biz_id for post in history.posted if post.signed}
    for message in history.messages:
        if not message.not_reconciled:
            continue
        if message.biz_id not in signed:
            yield Violation("not reconciled", message.biz_id, "decided though nothing signed came")
        if message.not_reconciled != BUDGET_SPENT:
            yield Violation("not reconciled", message.biz_id, f"no injected fault explains {message.not_reconciled}")
        elif reads.get(message.biz_id, 0) < history.budget:
            how = f"{reads.get(message.biz_id, 0)} of {history.budget} reads were made"
            yield Violation("not reconciled", message.biz_id, how)
        elif not any(_burns_reads(fault, message) for fault in history.injected):
            yield Violation("not reconciled", message.biz_id, "no injected fault has burnt its reads")
    yield from _answer_unused(history)


def _burns_reads(fault: InjectedFault, message: ResultMessage) -> bool:
    """Whether it can have cost this case a read: it was felt between the birth of the biz_id and the decision."""
    if FAULTS[fault.fault].reads == "none":
        return False
    return fault.began <= message.at and fault.ended + AFTERMATH >= born(message.biz_id)


def born(biz_id: str) -> float:
    """When the token was issued, unix seconds: a biz_id begins with it."""
    return float(biz_id.partition(",")[0])


def _answer_unused(history: History) -> Iterator[Violation]:
    """GetResult's answer is stored, and the decision that stands was made without it."""
    answered = {case.biz_id for case in history.cases if case.answered}
    for biz_id, messages in by_biz_id(history.messages).items():
        newest = max(messages, key=lambda message: message.revision)
        if newest.not_reconciled and biz_id in answered:
            yield Violation("not reconciled", biz_id, "the answer came later, and no revision rests on it")


def superseding(history: History) -> dict[str, int]:
    """How many revisions of each case changed its outcome."""
    changes: dict[str, int] = {}
    for biz_id, messages in by_biz_id(history.messages).items():
        outcomes = {message.revision: message.outcome for message in reversed(messages)}
        changes[biz_id] = sum(outcomes[old] != outcomes[new] for old, new in pairwise(sorted(outcomes)))
    return changes
