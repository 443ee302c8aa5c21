"""What `faceid doctor` does."""

from dataclasses import asdict
from typing import Final

from rich.table import Table

from console.doctor.checks import Finding, diagnose
from console.doctor.environment import gather
from console.terminal.output import as_json, plain, tabulate
from shared.settings import load_settings

_COLOURS: Final = {"ok": "green", "warn": "yellow", "fail": "bold red"}


def examine(*, json: bool) -> int:
    """Print the findings; returns the exit code."""
    findings = diagnose(gather(load_settings()))
    if json:
        for finding in findings:
            as_json(asdict(finding))
    else:
        tabulate(_table(findings))
    return 1 if any(finding.level == "fail" for finding in findings) else 0


def _table(findings: list[Finding]) -> Table:
    table = Table("check", "", "found", "what to do", box=None, header_style="bold", pad_edge=False)
    for finding in findings:
        level = plain(finding.level, _COLOURS[finding.level])
        table.add_row(finding.check, level, plain(finding.found), plain(finding.hint))
    return table
