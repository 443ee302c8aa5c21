"""Create the simulator's ASGI application."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.routing import Route

from deploy.simulator.model.sessions import Clock, Sessions
from deploy.simulator.model.settings import SimulatorSettings
from deploy.simulator.server.callback_sender import CallbackSender
from deploy.simulator.server.control import ControlApi
from deploy.simulator.server.flow import Flow
from deploy.simulator.server.get_result import GetResult
from deploy.simulator.server.stats import Stats
from deploy.simulator.server.vendor_api import VendorApi

ANY_METHOD = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


def create_app(settings: SimulatorSettings, clock: Clock = time.time) -> Starlette:
    """The application: FaceID's API below `/faceid/lite`, the control API below `/simulator`.

    All state is in this object. `clock` returns Unix seconds, for ids and expiry times.
    """
    stats = Stats()
    sessions = Sessions(settings, clock)
    sender = CallbackSender(settings.notify_timeout_seconds)
    flow = Flow(settings, sessions, stats, sender, clock)
    get_result = GetResult(settings, sessions, stats)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        await flow.close()
        await sender.close()

    vendor = VendorApi(settings, sessions, stats, flow, get_result)
    control = ControlApi(sessions, stats, flow, get_result)
    return Starlette(
        routes=[*vendor.routes(), *control.routes(), Route("/{path:path}", vendor.unknown, methods=ANY_METHOD)],
        lifespan=lifespan,
    )
