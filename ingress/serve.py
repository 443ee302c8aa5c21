"""The ingress process: the application behind uvicorn, and the admin listener beside it."""

import asyncio
import resource
import socket
from contextlib import suppress
from functools import partial
from typing import Any, cast

import structlog
import uvicorn

from ingress.admission import Admission
from ingress.app import Ingress
from ingress.http.connections import Connections
from ingress.http.limits import Limits, connection_limit
from ingress.http.protocol import HttpProtocol
from ingress.http.refusals import Refusals
from ingress.store import Store
from ingress.watch import Watch
from shared import gc_tuning
from shared.accounts import account_names
from shared.admin.listener import INGRESS_ADDRESS, AdminListener
from shared.admin.loop_watch import LoopWatch
from shared.admin.pages import routes
from shared.brokers.factory import open_async_publisher
from shared.brokers.servers import check_server
from shared.messaging.topology import INNER_QUEUES
from shared.settings import Settings

log = structlog.get_logger()


class Server(uvicorn.Server):
    """A uvicorn server that logs when it listens and when it has stopped."""

    def __init__(self, config: uvicorn.Config, accounts: frozenset[str]) -> None:
        super().__init__(config)
        self._accounts = accounts
        self.loop_watch = LoopWatch()

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve until a signal comes."""
        watching = asyncio.create_task(self.loop_watch.run())
        await super().serve(sockets)
        watching.cancel()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start the application and listen."""
        await super().startup(sockets)
        addresses = [_address(listener) for server in self.servers for listener in server.sockets]
        log.info("ingress.listening", addresses=addresses, accounts=sorted(self._accounts))

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop listening, answer the requests that have arrived, and stop the application."""
        await super().shutdown(sockets)
        log.info("ingress.stopped")


def _address(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def open_store(settings: Settings) -> Store:
    """Open the store; nothing connects yet."""
    publisher = open_async_publisher(
        settings.broker_url,
        settings.store_timeout_seconds,
        prefix=settings.prefix,
        queues=INNER_QUEUES,
        replicas=settings.store_replicas,
    )
    admission = Admission(settings.max_backlog, settings.max_memory_share)
    watch = Watch.opened(publisher, settings)
    return Store(publisher, watch, admission, settings.prefix, settings.store_timeout_seconds)


def build(settings: Settings, store: Store, refusals: Refusals) -> Ingress:
    """Build the application."""
    return Ingress(
        store, account_names(settings), settings.return_redirect_url, settings.max_body_bytes, refusals, store.time
    )


def limits(settings: Settings) -> Limits:
    """The limits of this process."""
    open_files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return Limits(connection_limit(open_files), settings.request_seconds, settings.max_body_bytes)


def configure(application: Ingress, connections: Connections, settings: Settings) -> uvicorn.Config:
    """Configure uvicorn for this application."""
    return uvicorn.Config(
        application,
        host=settings.host,
        port=settings.port,
        loop="uvloop",
        http=cast("Any", partial(HttpProtocol, connections)),  # uvicorn only calls it
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # the client's address is not used
        timeout_graceful_shutdown=int(settings.grace_seconds),
    )


def serve(settings: Settings) -> None:
    """Listen until SIGTERM or SIGINT; requests that have arrived by then are answered. Exits when it can't listen.

    Raises `SettingsError` when the accounts can't be loaded or the Redis can't be used.
    """
    check_server(settings, "broker_url")
    store = open_store(settings)
    refusals = Refusals()
    connections = Connections(limits(settings), refusals)
    server = Server(configure(build(settings, store, refusals), connections, settings), account_names(settings))
    gc_tuning.freeze_startup_objects()

    def not_ready() -> str:
        return "stopping" if server.should_exit else store.fault()

    pages = routes(server.loop_watch.fault, not_ready)
    with AdminListener(settings.admin_listen or INGRESS_ADDRESS, pages), suppress(KeyboardInterrupt):
        server.run()  # raises SIGINT again after it has stopped
