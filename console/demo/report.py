"""What the demo says at its end."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.table import Table

from console.terminal.output import COLOURS, complain, out
from deploy.local.example import example_body
from deploy.local.player import Played
from deploy.local.report import Arrived, Report, by_reason, latencies, percentile
from deploy.local.stack import DEMO_SECRET, Stack
from shared.events.decision import Outcome, in_words


@dataclass(frozen=True, slots=True)
class Run:
    """What was played and what came of it; `seconds` from the first token to the last decision."""

    report: Report
    played: Sequence[Played]
    arrived: Sequence[Arrived]
    seconds: float


def tell(run: Run, stack: Stack) -> bool:
    """Print the tables and the count; True when every promise held."""
    out.print(_outcomes(run.arrived))
    _one_in_words(run.arrived)
    _speed(run)
    report = run.report
    out.print(
        f"GetResult read {report.max_reads} times at most for one biz_id; "
        f"{report.forged} forged callbacks, {report.unverified} set aside as unverified"
    )
    out.print(f"[bold {'green' if report.good else 'red'}]{report.line}[/]")
    if not report.good:
        _complain(report, stack)
    return report.good


def tell_kept(stack: Stack) -> None:
    """How to use what is left running."""
    out.print("\n[bold]Everything is still running.[/] Post a signed callback of your own:")
    _plain(f"  curl -i {stack.notify_url} --data-raw '{example_body(DEMO_SECRET)}'")
    out.print("Where to look:")
    for name in ("FACEID_REDIS_URL", "FACEID_BROKER_URL", "FACEID_RESULTS_URL"):
        if name in stack.env:
            _plain(f"  export {name}={stack.env[name]}")
    for command, what in (
        ("faceid results tail", "decisions as they come"),
        ("faceid status", "depth of every stage"),
        ("faceid unverified list", "what was forged"),
        ("faceid demo --stop", "stop all of it"),
    ):
        _plain(f"  {command:<26} {what}")
    _plain(f"  {stack.ingress_url}/metrics")
    _plain(f"  {stack.folder}/*.log")


def _outcomes(arrived: Sequence[Arrived]) -> Table:
    table = Table("outcome", "reasons", title="Decisions", title_justify="left")
    table.add_column("count", justify="right")
    order = list(Outcome)
    for (outcome, reasons), times in sorted(
        by_reason(arrived).items(), key=lambda row: (order.index(row[0][0]), -row[1])
    ):
        table.add_row(f"[{COLOURS[outcome]}]{outcome}[/]", reasons, str(times))
    return table


def _one_in_words(arrived: Sequence[Arrived]) -> None:
    """The decision with the most reasons, as a support agent would read it."""
    if not arrived:
        return
    decision = max((one.decision for one in arrived), key=lambda decision: len(decision.reasons))
    out.print(f"\nOne of them, {decision.biz_id}: [{COLOURS[decision.outcome]}]{decision.outcome}[/]")
    for reason in decision.reasons:
        out.print(f"  {reason.code}: {in_words(reason)}", markup=False)


def _speed(run: Run) -> None:
    waits = latencies(run.played, run.arrived)
    median, most = (percentile(waits, share) * 1000 for share in (0.5, 0.99))
    out.print(f"\n{len(run.arrived) / run.seconds:.0f} sessions a second, as fast as they were played")
    out.print(f"Callback to decision, where nothing had to wait: median {median:.0f} ms, 99 of 100 in {most:.0f} ms")


def _complain(report: Report, stack: Stack) -> None:
    lines = [
        f"{name}: {', '.join(ids[:5])}{' ...' if len(ids) > 5 else ''}"
        for name, ids in (("lost", report.lost), ("twice", report.twice), ("wrong outcome", report.wrong))
        if ids
    ]
    complain("That is not as promised.", *lines, f"The logs are in {stack.folder}")


def _plain(line: str) -> None:
    """To be copied from the terminal: neither wrapped nor coloured."""
    out.print(line, markup=False, soft_wrap=True)
