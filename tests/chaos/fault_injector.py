"""Strikes the scene as the plan says."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Iterable

from tests.chaos.faults import ACTS
from tests.chaos.plan import Strike
from tests.chaos.scene import Scene
from tests.chaos.toll import Blow


class Nemesis:
    """Carries a plan out, and remembers when."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self.under_way: list[Strike] = []
        self.blows: list[Blow] = []
        self._busy: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        """By target: one that takes longer to come up again than planned is left alone until it has."""

    async def strike(self, strikes: Iterable[Strike]) -> None:
        """Return when the last fault is over; the strikes' moments count from now."""
        began = asyncio.get_running_loop().time()
        async with asyncio.TaskGroup() as group:
            for strike in strikes:
                group.create_task(self._strike(strike, began))

    async def _strike(self, strike: Strike, start: float) -> None:
        await asyncio.sleep(start + strike.at - asyncio.get_running_loop().time())
        async with self._busy[strike.target]:
            self.under_way.append(strike)
            began = time.time()
            await ACTS[strike.fault](self._scene, strike)
            self.blows.append(Blow(strike, began, time.time()))
            self.under_way.remove(strike)
