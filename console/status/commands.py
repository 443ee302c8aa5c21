"""`faceid status`: queues, message sets, workers and results at this moment."""

import sys
import time
from contextlib import ExitStack
from typing import Annotated, Final

import typer
from rich.console import Group
from rich.live import Live

from console.status.brokers import open_queue_stats
from console.status.faults import Limits, faults
from console.status.rendering import as_record, view
from console.status.snapshot import Status, read_status
from console.terminal.errors import CommandError
from console.terminal.options import Json
from console.terminal.output import out, plain, print_json, print_line, print_table
from console.terminal.redis_connection import open_redis
from shared.accounts import account_names
from shared.settings import Settings, load_settings

INTERVAL: Final = 2.0
"""Seconds between two refreshes with --watch."""

Watch = Annotated[bool, typer.Option("--watch", help="Refresh every two seconds, until Ctrl-C.")]


def status(watch: Watch = False, json: Json = False) -> None:
    """Show queues, message sets, workers and results.

    For each stage: messages that wait and that are in work, the age of the oldest, and how many are delayed, dead or
    unverified for which reason. Numbers with ~ are estimated from a sample. Exits with 1 when no worker is alive, no
    worker runs one of the stages, a worker sends no heartbeats or finishes nothing, or a message is older than
    FACEID_ALERT_BACKLOG_SECONDS.

    Example: [cyan]faceid status --watch[/]
    """
    settings = load_settings()
    try:
        if not watch:
            raise typer.Exit(1 if faults(_print(settings, json=json), Limits.of(settings)) else 0)
        if json or not out.is_terminal:
            _repeat(settings, json=json)
        else:
            _watch(settings)
    except KeyboardInterrupt:
        return


def _print(settings: Settings, *, json: bool) -> Status:
    found, limits = _read(settings), Limits.of(settings)
    if json:
        print_json(as_record(found, settings.prefix, limits))
        return found
    table, lines = view(found, settings.prefix, limits)
    print_table(table)
    for line in lines:
        print_line(line)
    return found


def _repeat(settings: Settings, *, json: bool) -> None:
    """Print it again and again, for a file or a pipe. Ends when nobody reads it any more."""
    while True:
        _print(settings, json=json)
        sys.stdout.flush()
        time.sleep(INTERVAL)


def _watch(settings: Settings) -> None:
    """Refresh the screen. While Redis can't be reached the screen says so."""
    with Live(console=out, auto_refresh=False, screen=True) as live:
        while True:
            try:
                table, lines = view(_read(settings), settings.prefix, Limits.of(settings))
                live.update(Group(table, *lines), refresh=True)
            except CommandError as error:
                live.update(plain(error.headline, "bold red"), refresh=True)
            time.sleep(INTERVAL)


def _read(settings: Settings) -> Status:
    with ExitStack() as stack:
        ledger = stack.enter_context(open_redis(settings.redis_url))
        ledger.ping()  # first: when the broker is the same server, an error must name FACEID_REDIS_URL
        broker = stack.enter_context(open_queue_stats(settings.broker_url, "FACEID_BROKER_URL"))
        results = stack.enter_context(open_queue_stats(settings.results_url, "FACEID_RESULTS_URL"))
        return read_status(ledger, broker, results, settings, sorted(account_names(settings)))
