"""Puts the simulator together."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.routing import Route

from deploy.simulator.model.sessions import Clock, Sessions
from deploy.simulator.model.settings import SimulatorSettings
from deploy.simulator.server.callback_sender import Courier
from deploy.simulator.server.control import Control
from deploy.simulator.server.flow import Flow
from deploy.simulator.server.get_result import Results
from deploy.simulator.server.stats import Stats
from deploy.simulator.server.vendor_api import Vendor

ANY_METHOD = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


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

    vendor = Vendor(settings, sessions, stats, flow, results)
    control = Control(sessions, stats, flow, results)
    return Starlette(
        routes=[*vendor.routes(), *control.routes(), Route("/{path:path}", vendor.unknown, methods=ANY_METHOD)],
        lifespan=lifespan,
    )
