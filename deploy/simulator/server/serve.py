"""Runs the simulator as a process."""

import logging
import socket
import time

import uvicorn

from deploy.simulator.model.sessions import Clock
from deploy.simulator.model.settings import SimulatorSettings
from deploy.simulator.server.app import create_app

STOP_WITHIN_SECONDS = 2


def serve(settings: SimulatorSettings) -> None:
    """Listen until SIGTERM or SIGINT; calls that hang are cut off two seconds later.

    Raises OSError when the address can't be listened on. There is no access log: its lines would hold api_secrets.
    """
    with listening_socket(settings.listen) as listener:
        server(settings).run(sockets=[listener])


def listening_socket(listen: str) -> socket.socket:
    """A socket that listens on `host:port`; port 0 takes a free one, to be read from `getsockname`."""
    host, _, port = listen.rpartition(":")
    listener = socket.create_server((host.strip("[]"), int(port)), backlog=2048)
    # asyncio leaves Nagle on for sockets of protocol 0, which costs 40 ms a request; connections inherit this.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def server(settings: SimulatorSettings, clock: Clock = time.time) -> uvicorn.Server:
    """The server that `serve` runs, for those who run it in a loop of their own."""
    config = uvicorn.Config(
        create_app(settings, clock),
        access_log=False,
        log_config=None,  # the process says how to log, and uvicorn's own way would change it for good
        log_level="error",
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=STOP_WITHIN_SECONDS,
        lifespan="on",
    )
    logging.getLogger("uvicorn.error").addFilter(_is_no_fault_of_ours)
    return uvicorn.Server(config)


def _is_no_fault_of_ours(record: logging.LogRecord) -> bool:
    """An answer that is cut off or never given is so on purpose here."""
    return "ASGI callable returned without" not in record.getMessage()
