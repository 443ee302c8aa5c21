"""Puts the simulator together."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette

from deploy.simulator.control import Control
from deploy.simulator.courier import Courier
from deploy.simulator.flow import Flow
from deploy.simulator.results import Results
from deploy.simulator.sessions import Clock, Sessions
from deploy.simulator.settings import SimulatorSettings
from deploy.simulator.stats import Stats
from deploy.simulator.vendor import Vendor


def create_app(settings: SimulatorSettings, clock: Clock = time.time) -> Starlette:
    """FaceID under `/faceid/lite`, its control surface under `/simulator`; all state is in this one object.

    `clock` gives unix seconds; ids and every expiry go by it.
    """
    stats = Stats()
    sessions = Sessions(settings, clock)
    courier = Courier(settings.notify_timeout_seconds)
    flow = Flow(settings, sessions, stats, courier, clock)
    results = Results(settings, sessions, stats)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        await flow.close()
        await courier.close()

    routes = [*Vendor(settings, sessions, stats, flow, results).routes(), *Control(sessions, stats, results).routes()]
    return Starlette(routes=routes, lifespan=lifespan)
