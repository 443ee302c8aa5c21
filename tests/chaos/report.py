"""What a run has come to, in tables."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from statistics import median
from typing import Final

from rich.console import Console
from rich.table import Table

from tests.chaos.check import Rule
from tests.chaos.play import Played

SHOWN: Final = 20
"""Violations that are printed one by one."""
ALWAYS: Final[tuple[Rule, ...]] = ("lost", "decided twice", "over budget", "message twice", "pending")
"""Rules whose zeros are printed too."""


def tell(console: Console, played: Sequence[Played]) -> None:
    """Print what was struck, how soon work went on, and what was wrong."""
    for one in played:
        console.print(_tolls(one))
    console.print(_counts(played))
    for biz_id, times in repeats(played):
        console.print(f"repeated under its id: {biz_id}, {times} messages", highlight=False)
    violations = [violation for one in played for violation in one.violations]
    for violation in violations[:SHOWN]:
        console.print(f"[red]{violation.rule}[/]: {violation.subject}: {violation.how}", highlight=False)
    if len(violations) > SHOWN:
        console.print(f"and {len(violations) - SHOWN} more")


def _tolls(played: Played) -> Table:
    title = f"{played.round.name}: seconds until work went on, and from 2xx to decision"
    table = Table("fault", title=title, title_justify="left")
    for column in ("times", "lasted", "on after", "at most", "longest wait"):
        table.add_column(column, justify="right")
    for toll in played.tolls:
        times = (_seconds(median, toll.went_on), _seconds(max, toll.went_on), _seconds(max, toll.waits))
        table.add_row(toll.fault, str(toll.blows), f"{toll.lasted:.1f}", *times)
    return table


def _seconds(choose: Callable[[Sequence[float]], float], times: Sequence[float]) -> str:
    return f"{choose(times):.2f}" if times else "-"


def _counts(played: Sequence[Played]) -> Table:
    table = Table("", title="The count", title_justify="left")
    for one in played:
        table.add_column(one.round.name, justify="right")
    histories = [one.history for one in played]
    table.add_row("guests", *(str(one.round.sessions) for one in played))
    table.add_row("posts", *(str(len(history.posted)) for history in histories))
    table.add_row("notifies answered 2xx", *(str(sum(post.accepted for post in one.posted)) for one in histories))
    table.add_row("decisions", *(str(len({message.id for message in one.messages})) for one in histories))
    table.add_row("repeated under their id", *(str(sum(times - 1 for _, times in repeats([one]))) for one in played))
    table.add_row("dead letters", *(str(len(history.dead)) for history in histories))
    table.add_row("unverified", *(str(len(history.unverified)) for history in histories))
    table.add_row("most reads of a biz_id", *(str(max(seen.reads for seen in one.seen)) for one in histories))
    broken = [Counter(violation.rule for violation in one.violations) for one in played]
    for rule in dict.fromkeys((*ALWAYS, *(rule for counts in broken for rule in counts))):
        table.add_row(f"[bold]{rule}[/]", *(_coloured(counts[rule]) for counts in broken))
    return table


def repeats(played: Iterable[Played]) -> list[tuple[str, int]]:
    """The biz_ids whose decision came more than once under the same id, and how often it came."""
    counts = Counter((message.biz_id, message.id) for one in played for message in one.history.messages)
    return [(biz_id, times) for (biz_id, _), times in counts.items() if times > 1]


def _coloured(count: int) -> str:
    return f"[bold {'red' if count else 'green'}]{count}[/]"
