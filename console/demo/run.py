"""Run the demo: start the stack, play the sessions, count the decisions."""

import asyncio
import shutil
import time
from pathlib import Path
from random import Random
from typing import Final

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from console.demo.brokers import named_brokers
from console.demo.report import Run, print_how_to_use, print_report, stop_command
from console.terminal.output import err, out, plural, print_error
from console.terminal.redis_connection import open_redis
from deploy.local import background
from deploy.local.ports import is_listening
from deploy.local.report import count
from deploy.local.result_watcher import open_watcher
from deploy.local.session_runner import SessionRunner
from deploy.local.sessions import draw_sessions
from deploy.local.stack import Stack
from shared.ledger.message_set import MessageSet

VENDOR_PORT: Final = 8028
PREFIX: Final = "faceid"
SETTLE: Final = 1.0
"""Seconds to wait after the last decision, to count a second decision for a session too."""
DEADLINE: Final = 45.0
"""Seconds after which a session without a decision counts as lost."""
DEMO_SETTINGS: Final = {
    "FACEID_READ_SPACING_SECONDS": "1,2",
    "FACEID_HINT_DELAY_SECONDS": "1.5",
    "FACEID_TOKEN_LIFE_SECONDS": "20",
    "FACEID_GETRESULT_TIMEOUT_SECONDS": "3",
    "FACEID_LEASE_SECONDS": "5",
}
"""Delays of seconds instead of minutes, so that the demo ends soon."""


def run(home: Path, sessions: int, seed: int, *, keep: bool) -> int:
    """Run the demo in the folder `home`. Returns 0 when every session has one right decision, else 1."""
    _clear(home)
    named = named_brokers(PREFIX)
    stack = Stack(
        home,
        redis_url=named.redis_url,
        broker_url=named.broker_url,
        results_url=named.results_url,
        ingress_port=_ingress_port(),
        settings=DEMO_SETTINGS,
    )
    with stack.running(keep=keep):
        played = asyncio.run(_play(stack, sessions, seed))
        good = print_report(played, stack)
        if keep:
            background.save_pids(stack)
            print_how_to_use(stack)
    if good and not keep:
        shutil.rmtree(home)
    return 0 if good else 1


def stop(home: Path) -> int:
    """Stop the processes that `demo --keep` left running in the folder `home`."""
    out.print(f"stopped {plural(background.stop(home), 'process', 'processes')}")
    return 0


def _clear(home: Path) -> None:
    """Delete the files of an earlier run. Exits with 2 while one is still running."""
    if background.running_pids(home):
        print_error("A demo is running already.", f"Stop it first: {stop_command(home)}")
        raise typer.Exit(2)
    shutil.rmtree(home, ignore_errors=True)


def _ingress_port() -> int:
    """One of FaceID's callback ports when it is free, else 0 for any free port."""
    return 0 if is_listening("127.0.0.1", VENDOR_PORT) else VENDOR_PORT


async def _play(stack: Stack, sessions: int, seed: int) -> Run:
    """Play the sessions, and wait until each is decided, or until DEADLINE."""
    watcher = open_watcher(stack.results_url, PREFIX)
    following = asyncio.create_task(watcher.watch())
    player, played, started = SessionRunner(stack), [], time.time()
    with _progress() as progress:
        asked = progress.add_task("sessions played", total=sessions)
        decided = progress.add_task("decisions published", total=sessions)
        async for one in player.run(draw_sessions(sessions, Random(seed))):  # noqa: S311 - a demo
            played.append(one)
            progress.update(asked, completed=len(played))
            progress.update(decided, completed=len(watcher.received))
        end = time.monotonic() + DEADLINE
        while len(watcher.received) < sessions and time.monotonic() < end and not following.done():
            await asyncio.sleep(0.05)
            progress.update(decided, completed=len(watcher.received))
        elapsed = time.time() - started
        await asyncio.sleep(SETTLE)
        progress.update(decided, completed=len(watcher.received))
    following.cancel()
    await watcher.close()
    with open_redis(stack.redis_url) as redis:
        unverified = len(MessageSet(redis, PREFIX, "unverified"))
    report = count(played, watcher.received, await player.max_reads(), unverified)
    return Run(report, played, watcher.received, elapsed)


def _progress() -> Progress:
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description:<20}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    return Progress(*columns, console=err)
