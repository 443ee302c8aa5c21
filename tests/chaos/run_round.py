"""Runs one round: sessions while faults are injected, then rest, then the check of its history."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, Final

from tests.chaos.brokers import UNAVAILABLE
from tests.chaos.check import check
from tests.chaos.collect import collect, open_items
from tests.chaos.environment import Environment
from tests.chaos.fault_injector import FaultInjector
from tests.chaos.history import History
from tests.chaos.plan import Injection, Round
from tests.chaos.recovery import Recovery, recoveries
from tests.chaos.users import Users, choose_users
from tests.chaos.violation import Violation

QUIET: Final = 3.0
"""Seconds without any event after which a round is over. A notify's retry comes within `NOTIFY_RETRY_SECONDS` and
`NOTIFY_TIMEOUT_SECONDS` of the simulator's settings."""
PATIENCE: Final = 240.0
"""Seconds after which a round that does not come to rest is checked all the same."""
INTERVAL: Final = 0.25


@dataclass(frozen=True, slots=True)
class RoundResult:
    """A round, its history, and the rules that it broke."""

    round: Round
    history: History
    recoveries: tuple[Recovery, ...]
    violations: tuple[Violation, ...]


@dataclass(frozen=True, slots=True)
class RoundProgress:
    """How far a round is."""

    sessions: int
    decided: int
    under_way: tuple[Injection, ...]


async def run_round(
    plan: Round, folder: Path, seed: int, workers: int, report: Callable[[RoundProgress], None]
) -> RoundResult:
    """Run a round in an empty folder; `report` is called again and again meanwhile."""
    environment = Environment(folder, workers, engine=plan.engine, results_apart=plan.results_apart)
    async with environment.running():
        users, injector = Users(environment.stack), FaultInjector(environment)
        reporting = asyncio.create_task(_report(environment, users, injector, report))
        expected = choose_users(plan.sessions, plan.faults, Random(seed))
        await asyncio.gather(users.run(expected, plan.pace), injector.inject(plan.injections))
        await _rest(environment)
        reporting.cancel()
        history = await collect(environment, users, injector.injected)
    return RoundResult(plan, history, tuple(recoveries(history)), tuple(check(history)))


async def _rest(environment: Environment) -> None:
    """Return when nothing waits and nothing has happened for `QUIET` seconds, or after `PATIENCE` seconds."""
    loop = asyncio.get_running_loop()
    end, last, since = loop.time() + PATIENCE, None, loop.time()
    while loop.time() < end:
        now = await _state(environment)
        if now != last or any(now[0].values()):
            last, since = now, loop.time()
        if loop.time() - since > QUIET:
            if not any((await asyncio.to_thread(environment.broker.left)).values()):
                return
            since = loop.time()
        await asyncio.sleep(INTERVAL)


async def _state(environment: Environment) -> tuple[dict[str, int], Any]:
    """What waits, and numbers that change when something happens."""
    stats = await environment.remote.stats()
    with environment.ledger as ledger:
        waiting = open_items(ledger) | environment.broker.waiting()
    return waiting, (stats["callbacks"], stats["calls"], environment.decisions.decided())


async def _report(
    environment: Environment, users: Users, injector: FaultInjector, report: Callable[[RoundProgress], None]
) -> None:
    decided = 0
    while True:
        with suppress(*UNAVAILABLE):  # the last count is reported again
            decided = await asyncio.to_thread(environment.decisions.decided)
        report(RoundProgress(users.done, decided, tuple(injector.under_way)))
        await asyncio.sleep(INTERVAL)
