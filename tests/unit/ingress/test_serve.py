"""The ingress process: what it logs when it listens and when it stops."""

import asyncio
from typing import cast

import uvicorn
from structlog.testing import capture_logs

from ingress.app import Ingress
from ingress.http.refusals import Refusals
from ingress.serve import Server
from ingress.store import Store
from tests.support.waiting import eventually


class IdleStore:
    async def monitor(self) -> None:
        await asyncio.Event().wait()

    async def close(self) -> None:
        pass


async def test_a_server_logs_the_addresses_it_listens_on_and_that_it_stopped() -> None:
    accounts = frozenset({"shop", "bank"})
    application = Ingress(cast("Store", IdleStore()), accounts, "", 1024, Refusals(), lambda: 0.0)
    server = Server(uvicorn.Config(application, host="127.0.0.1", port=0, log_config=None, lifespan="on"), accounts)
    with capture_logs() as lines:
        serving = asyncio.create_task(server._serve())
        await eventually(lambda: server.started)
        (port,) = [listener.getsockname()[1] for one in server.servers for listener in one.sockets]
        await eventually(lambda: len(lines) == 1)
        server.should_exit = True
        await serving
    assert lines == [
        {
            "event": "ingress.listening",
            "log_level": "info",
            "addresses": [f"127.0.0.1:{port}"],
            "accounts": ["bank", "shop"],
        },
        {"event": "ingress.stopped", "log_level": "info"},
    ]
