"""What the demo prints at its end."""

import os
import shlex
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from rich.table import Table

from console.terminal.output import COLOURS, out, plural, print_error
from deploy.local.example import example_body
from deploy.local.report import ReceivedDecision, Report, by_reason, latencies, percentile
from deploy.local.session_runner import FinishedSession
from deploy.local.stack import DEMO_SECRET, Stack
from shared.events.decision import Outcome, describe


@dataclass(frozen=True, slots=True)
class Run:
    """A run of the demo. `seconds`: from the first token to the last decision."""

    report: Report
    played: Sequence[FinishedSession]
    arrived: Sequence[ReceivedDecision]
    seconds: float


def print_report(run: Run, stack: Stack) -> bool:
    """Print the tables and the count. True when every session has one right decision."""
    out.print(_outcomes(run.arrived))
    _print_example(run.arrived)
    _print_speed(run)
    report = run.report
    out.print(
        f"GetResult: at most {plural(report.max_reads, 'call')} for one biz_id. "
        f"Forged callbacks: {report.forged}, kept as unverified: {report.unverified}",
        soft_wrap=True,
    )
    out.print(f"[bold {'green' if report.good else 'red'}]{report.line}[/]", soft_wrap=True)
    if not report.good:
        _print_failures(report, stack)
    return report.good


def print_how_to_use(stack: Stack) -> None:
    """Print commands for a stack that is left running. They work in any terminal and any folder."""
    faceid = faceid_program()
    biz_id = f"{time.time():.0f},{uuid4()}"  # as FaceID makes it; one that is older than the retention is refused
    out.print("\n[bold]Everything is still running.[/] Post a signed callback:")
    _print_copyable(f"  curl -i {stack.notify_url} --data-raw '{example_body(DEMO_SECRET, biz_id)}'")
    out.print("In every terminal in which you use the commands below, first:")
    for name in ("FACEID_REDIS_URL", "FACEID_BROKER_URL", "FACEID_RESULTS_URL"):
        if name in stack.env:
            _print_copyable(f"  export {name}={shlex.quote(stack.env[name])}")
    for what, command in (
        ("The case of that callback:", f"{faceid} case {biz_id}"),
        ("Decisions as they are published:", f"{faceid} results tail"),
        ("Queues and message sets:", f"{faceid} status"),
        ("Forged callbacks:", f"{faceid} unverified list"),
        ("Metrics:", f"curl {stack.admin_url}/metrics"),
        ("Logs:", f"tail {shlex.quote(str(stack.folder))}/*.log"),
        ("Stop everything:", stop_command(stack.folder)),
    ):
        out.print(what)
        _print_copyable(f"  {command}")


def stop_command(folder: Path) -> str:
    """The command that stops the demo in this folder."""
    option = "" if folder == default_folder() else f" --folder {shlex.quote(str(folder.absolute()))}"
    return f"{faceid_program()} demo --stop{option}"


def faceid_program() -> str:
    """The full path of `faceid`, quoted for a shell: the program need not be on the PATH."""
    program = Path(sys.executable).with_name("faceid")
    return shlex.quote(str(program)) if program.exists() else f"{shlex.quote(sys.executable)} -m console.main"


def default_folder() -> Path:
    """Where `demo --keep` keeps its logs and data."""
    return Path(tempfile.gettempdir()) / f"faceid-demo-{os.getuid()}"


def _outcomes(arrived: Sequence[ReceivedDecision]) -> Table:
    table = Table("outcome", "reasons", title="Decisions", title_justify="left")
    table.add_column("count", justify="right")
    order = list(Outcome)
    for (outcome, reasons), decisions in sorted(
        by_reason(arrived).items(), key=lambda row: (order.index(row[0][0]), -row[1])
    ):
        table.add_row(f"[{COLOURS[outcome]}]{outcome}[/]", reasons, str(decisions))
    return table


def _print_example(arrived: Sequence[ReceivedDecision]) -> None:
    """The decision with the most reasons, explained."""
    if not arrived:
        return
    decision = max((one.decision for one in arrived), key=lambda decision: len(decision.reasons))
    out.print(f"\nAn example, {decision.biz_id}: [{COLOURS[decision.outcome]}]{decision.outcome}[/]", soft_wrap=True)
    for reason in decision.reasons:
        out.print(f"  {reason.code}: {describe(reason)}", markup=False, soft_wrap=True)


def _print_speed(run: Run) -> None:
    seconds = latencies(run.played, run.arrived)
    p50, p99 = (percentile(seconds, share) * 1000 for share in (0.5, 0.99))
    out.print(f"\n{len(run.arrived) / run.seconds:.0f} sessions a second, as fast as they were played")
    out.print(f"Callback to decision, for sessions without a delay: p50 {p50:.0f} ms, p99 {p99:.0f} ms", soft_wrap=True)


def _print_failures(report: Report, stack: Stack) -> None:
    lines = [
        f"{name}: {', '.join(ids[:5])}{' ...' if len(ids) > 5 else ''}"
        for name, ids in (("lost", report.lost), ("twice", report.twice), ("wrong outcome", report.wrong))
        if ids
    ]
    print_error("Not every session has one right decision.", *lines, f"Read the logs in {stack.folder}")


def _print_copyable(line: str) -> None:
    """Print a line that can be copied from the terminal: neither wrapped nor coloured."""
    out.print(line, markup=False, soft_wrap=True)
