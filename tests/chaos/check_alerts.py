"""The rules of alerts: each one that must be raised is there, and none without its cause.

Alerts on rates, dead letters and waiting times depend on when a worker looks, so they may be missing.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Final

from tests.chaos.check_decisions import AFTERMATH, BUDGET_SPENT, superseding
from tests.chaos.history import AlertMessage, History, InjectedFault
from tests.chaos.plan import FAULTS
from tests.chaos.violation import Rule, Violation, by_biz_id, repeated

OF_CASES: Final = ("evidence_conflict", "decision_superseded", "data_source_error", "budget_spent")
OPENED, CLOSED = "breaker_opened", "breaker_closed"
FAILED_CALLS: Final = 20
"""Failed calls in a row that must open the breaker: twice what it takes, since some are lost on the way."""
RECORDED_LATE: Final = 10.0
"""Seconds: a failed call is recorded when the ledger answers again, after two of its time-outs at most."""
LONGEST_WAIT: Final = 300.0
"""Seconds that a message may wait before `backlog_age` (`FACEID_ALERT_BACKLOG_SECONDS`)."""
MOST_DEAD: Final = 10
"""Dead letters without `dead_letters_growing` (`FACEID_ALERT_DEAD_LETTERS`)."""
FEWEST_FORGED: Final = 20
"""Forged callbacks of `bad_signature_rate` (`FACEID_ALERT_BAD_SIGNATURE_MIN`)."""


def alert_twice(history: History) -> Iterator[Violation]:
    """No alert is published twice, but where results are on another broker."""
    ids = Counter(alert.id for alert in history.alerts)
    for alert, times in ({} if history.results_apart else repeated(ids)).items():
        yield Violation("message twice", alert, f"the alert was published {times} times")


def alerts_of_cases(history: History) -> Iterator[Violation]:
    """Each case has exactly the alerts that its callbacks and its decisions give reason to."""
    conflicts = _conflicts(history)
    expected = {(kind, biz_id): (count, count) for (kind, biz_id), count in _of_decisions(history).items()}
    expected |= {("evidence_conflict", biz_id): limits for biz_id, limits in conflicts.items()}
    raised = Counter((alert.kind, alert.biz_id) for alert in _unique(history) if alert.kind in OF_CASES)
    for (kind, biz_id), (least, _) in expected.items():
        if raised[kind, biz_id] < least:
            yield Violation("alert missing", biz_id, f"{raised[kind, biz_id]} of {least} {kind}")
    for (kind, biz_id), count in raised.items():
        if count > expected.get((kind, biz_id), (0, 0))[1]:
            yield Violation(
                "alert unfounded", biz_id, f"{count} {kind}, at most {expected.get((kind, biz_id), (0, 0))[1]} founded"
            )


def _unique(history: History) -> list[AlertMessage]:
    return list({alert.id: alert for alert in history.alerts}.values())


def _of_decisions(history: History) -> Counter[tuple[str, str]]:
    counts = Counter({("decision_superseded", biz_id): times for biz_id, times in superseding(history).items()})
    for message in {message.id: message for message in history.messages}.values():
        counts["data_source_error", message.biz_id] += "DATA_SOURCE_ERROR" in message.reasons
        counts["budget_spent", message.biz_id] += message.not_reconciled == BUDGET_SPENT
    return counts


def _conflicts(history: History) -> dict[str, tuple[int, int]]:
    """For each case how many conflicts must be alerted, and how many may be: what got no 2xx may be stored too."""
    dead = {item.biz_id for item in history.dead}
    conflicts = {}
    for biz_id, posts in by_biz_id(post for post in history.posted if post.proof == "final").items():
        stored = {post.status for post in posts if post.accepted}
        least = 0 if biz_id in dead else max(0, len(stored) - 1)
        conflicts[biz_id] = least, len({post.status for post in posts}) - 1
    return conflicts


def alerts_of_breaker(history: History) -> Iterator[Violation]:
    """The breaker opens when GetResult calls fail, and only then. Each opening but the last one is closed again."""
    alerts = sorted(_unique(history), key=lambda alert: (alert.at, alert.kind == CLOSED))
    opened, closed = ([alert for alert in alerts if alert.kind == kind] for kind in (OPENED, CLOSED))
    ended = len(opened) - history.breaker_open
    if len(closed) != ended:
        rule: Rule = "alert missing" if len(closed) < ended else "alert unfounded"
        state = "open" if history.breaker_open else "closed"
        how = f"opened {len(opened)} times, closed {len(closed)} times, now {state}"
        yield Violation(rule, CLOSED, how)
    for alert in opened:
        if not any(
            _felt(fault, alert.at) and FAULTS[fault.fault].reads in {"slow", "failed"} for fault in history.injected
        ):
            yield Violation("alert unfounded", OPENED, "no injected fault made GetResult fail")
    for fault in history.injected:
        if _must_open(fault, history.injected) and not _was_open(fault, opened, closed):
            yield Violation("alert missing", OPENED, f"{fault.calls} calls failed in a row by {fault.fault}")


def _felt(fault: InjectedFault, at: float) -> bool:
    return fault.began <= at <= fault.ended + AFTERMATH + RECORDED_LATE


def _must_open(fault: InjectedFault, injected: tuple[InjectedFault, ...]) -> bool:
    """Whether nearly all calls failed meanwhile, and nothing else kept workers from saying so."""
    others = (
        other
        for other in injected
        if FAULTS[other.fault].target not in {"vendor", "ingress"}
        and other.began <= fault.ended
        and fault.began <= other.ended + AFTERMATH
    )
    return FAULTS[fault.fault].reads == "failed" and fault.calls >= FAILED_CALLS and not any(others)


def _was_open(fault: InjectedFault, opened: list[AlertMessage], closed: list[AlertMessage]) -> bool:
    if any(_felt(fault, alert.at) for alert in opened):
        return True
    before = sum(alert.at < fault.began for alert in opened) - sum(alert.at < fault.began for alert in closed)
    return before > 0


def alerts_of_monitor(history: History) -> Iterator[Violation]:
    """Alerts on rates and limits come only where a limit was passed; a run holds no attacks."""
    founded = {
        "attack_rate": False,
        "bad_signature_rate": sum(post.proof == "forged" for post in history.posted) >= FEWEST_FORGED,
        "dead_letters_growing": len(history.dead) > MOST_DEAD,
        "dead_letters_expiring": False,
        "ledger_lost": False,
        "clock_skew": any(fault.fault == "wrong-clock" for fault in history.injected),
        "memory": any(fault.fault == "fill-redis" for fault in history.injected),
        "settlement_refused": any(fault.fault == "refused-settlement" for fault in history.injected),
        "backlog_age": _seconds(history) > LONGEST_WAIT,
    }
    for alert in _unique(history):
        if alert.kind not in {*OF_CASES, OPENED, CLOSED} and not founded.get(alert.kind, False):
            yield Violation("alert unfounded", alert.kind, "nothing in this run gives reason to it")


def _seconds(history: History) -> float:
    """How long the run was: no message waits longer."""
    times = [post.at for post in history.posted if post.at] + [message.at for message in history.messages]
    return max(times, default=0.0) - min(times, default=0.0)
