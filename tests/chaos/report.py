"""Prints the results of a run as tables."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from statistics import median
from typing import Final

from rich.console import Console
from rich.table import Table

from tests.chaos.run_round import RoundResult
from tests.chaos.violation import Rule

SHOWN: Final = 20
"""Violations that are printed one by one."""
ALWAYS: Final[tuple[Rule, ...]] = (
    *("lost", "decided twice", "wrong outcome", "not reconciled"),
    *("over budget", "message twice", "alert missing", "alert unfounded", "pending"),
)
"""Rules whose zeros are printed too."""


def print_report(console: Console, results: Sequence[RoundResult]) -> None:
    """Print which faults were injected, how soon work went on, and which rules were broken."""
    for one in results:
        console.print(_recoveries(one))
    console.print(_counts(results))
    for biz_id, times in repeats(results):
        console.print(f"published more than once under one id: {biz_id}, {times} times", highlight=False)
    violations = [violation for one in results for violation in one.violations]
    for violation in violations[:SHOWN]:
        console.print(f"[red]{violation.rule}[/]: {violation.subject}: {violation.how}", highlight=False)
    if len(violations) > SHOWN:
        console.print(f"and {len(violations) - SHOWN} more")


def _recoveries(result: RoundResult) -> Table:
    title = f"{result.round.name}: seconds until work went on, and from 2xx to decision"
    table = Table("fault", title=title, title_justify="left")
    for column in ("times", "lasted", "on after", "at most", "longest wait"):
        table.add_column(column, justify="right")
    for one in result.recoveries:
        times = (_seconds(median, one.went_on), _seconds(max, one.went_on), _seconds(max, one.waits))
        table.add_row(one.fault, str(one.times), f"{one.lasted:.1f}", *times)
    return table


def _seconds(choose: Callable[[Sequence[float]], float], times: Sequence[float]) -> str:
    return f"{choose(times):.2f}" if times else "-"


def _counts(results: Sequence[RoundResult]) -> Table:
    table = Table("", title="Counts", title_justify="left")
    for one in results:
        table.add_column(one.round.name, justify="right")
    histories = [one.history for one in results]
    alerts = [Counter(alert.kind for alert in {alert.id: alert for alert in one.alerts}.values()) for one in histories]
    table.add_row("sessions", *(str(one.round.sessions) for one in results))
    table.add_row("injected faults", *(str(len(history.injected)) for history in histories))
    table.add_row("posts", *(str(len(history.posted)) for history in histories))
    table.add_row("notifies answered 2xx", *(str(sum(post.accepted for post in one.posted)) for one in histories))
    table.add_row("decisions", *(str(len({message.id for message in one.messages})) for one in histories))
    unconfirmed = ({message.id for message in one.messages if message.not_reconciled} for one in histories)
    table.add_row("without GetResult's answer", *(str(len(ids)) for ids in unconfirmed))
    table.add_row("repeated under one id", *(str(sum(times - 1 for _, times in repeats([one]))) for one in results))
    for kind in sorted({kind for one in alerts for kind in one}):
        table.add_row(f"alert {kind}", *(str(one[kind]) for one in alerts))
    table.add_row("dead letters", *(str(len(history.dead)) for history in histories))
    table.add_row("unverified", *(str(len(history.unverified)) for history in histories))
    most = (str(max(session.reads for session in one.vendor_sessions)) for one in histories)
    table.add_row("most reads of a biz_id", *most)
    broken = [Counter(violation.rule for violation in one.violations) for one in results]
    for rule in dict.fromkeys((*ALWAYS, *(rule for counts in broken for rule in counts))):
        table.add_row(f"[bold]{rule}[/]", *(_coloured(counts[rule]) for counts in broken))
    return table


def repeats(results: Iterable[RoundResult]) -> list[tuple[str, int]]:
    """The biz_ids whose decision was published more than once under the same id, and how often."""
    counts = Counter((message.biz_id, message.id) for one in results for message in one.history.messages)
    return [(biz_id, times) for (biz_id, _), times in counts.items() if times > 1]


def _coloured(count: int) -> str:
    return f"[bold {'red' if count else 'green'}]{count}[/]"
