"""Injects the faults of a plan."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Iterable

from tests.chaos.environment import Environment
from tests.chaos.faults import INJECT
from tests.chaos.history import InjectedFault
from tests.chaos.plan import FAULTS, Injection


class FaultInjector:
    """Injects faults, and notes when."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self.under_way: list[Injection] = []
        self.injected: list[InjectedFault] = []
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        """By target: when one takes longer than planned to come up again, its next fault waits."""

    async def inject(self, injections: Iterable[Injection]) -> None:
        """Inject all of them, their times counted from now. Returns when the last fault is over."""
        began = asyncio.get_running_loop().time()
        async with asyncio.TaskGroup() as group:
            for injection in injections:
                group.create_task(self._inject(injection, began))

    async def _inject(self, injection: Injection, start: float) -> None:
        await asyncio.sleep(start + injection.at - asyncio.get_running_loop().time())
        async with self._locks[injection.target]:
            self.under_way.append(injection)
            began, calls = time.time(), await self._calls(injection)
            await INJECT[injection.fault](self._environment, injection)
            calls = await self._calls(injection) - calls
            self.injected.append(InjectedFault(injection.fault, injection.target, began, time.time(), calls))
            self.under_way.remove(injection)

    async def _calls(self, injection: Injection) -> int:
        """How often GetResult was called so far; 0 for a fault that does not touch it."""
        if FAULTS[injection.fault].target != "vendor":
            return 0
        return int((await self._environment.remote.stats())["calls"])
