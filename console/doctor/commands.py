"""`faceid doctor`: check the settings and the servers."""

from dataclasses import asdict
from typing import Annotated, Final

import typer
from rich.table import Table

from console.doctor.checks import diagnose
from console.doctor.environment import gather
from console.doctor.finding import Finding
from console.terminal.options import Json
from console.terminal.output import plain, print_json, print_table
from shared.settings import load_settings

_COLOURS: Final = {"ok": "green", "warn": "yellow", "fail": "bold red"}


Call = Annotated[
    bool, typer.Option("--call", help="Also call GetResult once for each account, with an invented biz_id.")
]


def doctor(call: Call = False, json: Json = False) -> None:
    """Check the settings and the servers, and say what to fix.

    Checks Redis (reachable, version, no eviction, append-only file, memory, capacity, replicas, clock), the brokers
    (RabbitMQ: also queues, permissions, confirms, alarms and the nodes that hold each queue), the names of the
    settings, the secrets, the policies and the listening port. With --call also whether FaceID accepts the key and the
    secret, at that URL. Exits with 1 when a check fails. Warnings don't count.

    Example: [cyan]faceid doctor --call[/]
    """
    findings = diagnose(gather(load_settings(), call=call, members=True))
    if json:
        for finding in findings:
            print_json(asdict(finding))
    else:
        print_table(_table(findings))
    raise typer.Exit(1 if any(finding.level == "fail" for finding in findings) else 0)


def _table(findings: list[Finding]) -> Table:
    table = Table("check", "level", "found", "what to do", box=None, header_style="bold", pad_edge=False)
    for finding in findings:
        level = plain(finding.level, _COLOURS[finding.level])
        table.add_row(finding.check, level, plain(finding.found), plain(finding.hint))
    return table
