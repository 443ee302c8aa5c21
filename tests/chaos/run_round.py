"""Plays one round: the crowd and the nemesis at the same time, then quiet, then the count."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, Final

from tests.chaos.brokers import AWAY
from tests.chaos.check import Violation, check
from tests.chaos.crowd import Crowd, guests
from tests.chaos.gather import gather, open_items
from tests.chaos.history import History
from tests.chaos.nemesis import Nemesis
from tests.chaos.plan import Round, Strike
from tests.chaos.scene import Scene
from tests.chaos.toll import Toll, tolls

QUIET: Final = 3.0
"""Seconds in which nothing may happen before a run counts as over: more than any retry takes that could still come."""
PATIENCE: Final = 90.0
"""Seconds after which what still goes on is taken for stuck."""
LOOK: Final = 0.25


@dataclass(frozen=True, slots=True)
class Played:
    """A round, its history, and what was wrong with it."""

    round: Round
    history: History
    tolls: tuple[Toll, ...]
    violations: tuple[Violation, ...]


@dataclass(frozen=True, slots=True)
class Standing:
    """How far a round is."""

    gone: int
    decided: int
    under_way: tuple[Strike, ...]


async def play(plan: Round, folder: Path, seed: int, workers: int, tell: Callable[[Standing], None]) -> Played:
    """Play a round in an empty folder; `tell` hears of its progress."""
    scene = Scene(folder, workers, engine=plan.engine, results_apart=plan.results_apart)
    async with scene.running():
        crowd, nemesis = Crowd(scene.stack), Nemesis(scene)
        telling = asyncio.create_task(_tell(scene, crowd, nemesis, tell))
        expected = guests(plan.sessions, plan.faults, Random(seed))
        await asyncio.gather(crowd.come(expected, plan.pace), nemesis.strike(plan.strikes))
        await _quiet(scene)
        telling.cancel()
        history = await gather(scene, crowd)
    return Played(plan, history, tuple(tolls(nemesis.blows, history)), tuple(check(history)))


async def _quiet(scene: Scene) -> None:
    """Return when nothing waits and nothing has happened for a while, or when patience is at an end."""
    loop = asyncio.get_running_loop()
    end, last, since = loop.time() + PATIENCE, None, loop.time()
    while loop.time() < end:
        now = await _trace(scene)
        if now != last or any(now[0].values()):
            last, since = now, loop.time()
        if loop.time() - since > QUIET:
            if not any((await asyncio.to_thread(scene.broker.left)).values()):
                return
            since = loop.time()
        await asyncio.sleep(LOOK)


async def _trace(scene: Scene) -> tuple[dict[str, int], Any]:
    """What waits, and what changes when something happens."""
    stats = await scene.remote.stats()
    with scene.ledger as ledger:
        waiting = open_items(ledger) | scene.broker.waiting()
    return waiting, (stats["callbacks"], stats["calls"], scene.decisions.decided())


async def _tell(scene: Scene, crowd: Crowd, nemesis: Nemesis, tell: Callable[[Standing], None]) -> None:
    decided = 0
    while True:
        with suppress(*AWAY):  # it is being struck
            decided = await asyncio.to_thread(scene.decisions.decided)
        tell(Standing(crowd.gone, decided, tuple(nemesis.under_way)))
        await asyncio.sleep(LOOK)
