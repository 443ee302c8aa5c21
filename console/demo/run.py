"""Runs the demo: starts the stack, plays the sessions, counts the decisions."""

import asyncio
import shutil
import time
from pathlib import Path
from random import Random
from typing import Final

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from console.demo.brokers import named_brokers
from console.demo.report import Run, tell, tell_kept
from console.terminal.output import complain, err, out
from console.terminal.redis_connection import open_redis
from deploy.local import kept
from deploy.local.follower import open_follower
from deploy.local.player import Player
from deploy.local.ports import is_listening
from deploy.local.report import count
from deploy.local.sessions import day
from deploy.local.stack import Stack
from shared.ledger.message_set import MessageSet

VENDOR_PORT: Final = 8028
PREFIX: Final = "faceid"
SETTLE: Final = 1.0
"""Seconds to listen on after the last decision: a second one for a session would come about then."""
DEADLINE: Final = 45.0
"""Seconds after which a session without a decision counts as lost."""
DEMO_SETTINGS: Final = {
    "FACEID_READ_SPACING_SECONDS": "1,2",
    "FACEID_HINT_DELAY_SECONDS": "1.5",
    "FACEID_TOKEN_LIFE_SECONDS": "20",
    "FACEID_GETRESULT_TIMEOUT_SECONDS": "3",
    "FACEID_LEASE_SECONDS": "5",
}
"""What takes minutes in production takes seconds here."""


def run(home: Path, sessions: int, seed: int, *, keep: bool) -> int:
    """Play and count in the folder `home`; 0 when every promise held, 1 when not, 2 when it can't start."""
    _make_room(home)
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
        good = tell(played, stack)
        if keep:
            kept.keep(stack)
            tell_kept(stack)
    if good and not keep:
        shutil.rmtree(home)
    return 0 if good else 1


def stop(home: Path) -> int:
    """Stop what was left running there."""
    out.print(f"stopped {kept.stop(home)} processes")
    return 0


def _make_room(home: Path) -> None:
    """Clear what an earlier run has left; refuses while one is kept running."""
    if kept.running(home):
        complain("A kept demo is running already.", "Stop it first: faceid demo --stop")
        raise typer.Exit(2)
    shutil.rmtree(home, ignore_errors=True)


def _ingress_port() -> int:
    """FaceID's own port where it is free, else any."""
    return 0 if is_listening("127.0.0.1", VENDOR_PORT) else VENDOR_PORT


async def _play(stack: Stack, sessions: int, seed: int) -> Run:
    """Play the sessions, and wait until each is decided or the time is over."""
    follower = open_follower(stack.results_url, PREFIX)
    following = asyncio.create_task(follower.follow())
    player, played, started = Player(stack), [], time.time()
    with _progress() as progress:
        asked = progress.add_task("sessions played", total=sessions)
        decided = progress.add_task("decisions published", total=sessions)
        async for one in player.play(day(sessions, Random(seed))):  # noqa: S311 - a demo
            played.append(one)
            progress.update(asked, completed=len(played))
            progress.update(decided, completed=len(follower.arrived))
        end = time.monotonic() + DEADLINE
        while len(follower.arrived) < sessions and time.monotonic() < end and not following.done():
            await asyncio.sleep(0.05)
            progress.update(decided, completed=len(follower.arrived))
        elapsed = time.time() - started
        await asyncio.sleep(SETTLE)
        progress.update(decided, completed=len(follower.arrived))
    following.cancel()
    await follower.close()
    with open_redis(stack.redis_url) as redis:
        unverified = len(MessageSet(redis, PREFIX, "unverified"))
    report = count(played, follower.arrived, await player.reads(), unverified)
    return Run(report, played, follower.arrived, elapsed)


def _progress() -> Progress:
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description:<20}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    return Progress(*columns, console=err)
