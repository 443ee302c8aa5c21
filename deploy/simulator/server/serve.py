"""Run the simulator as a process."""

import logging
import socket
import time

import structlog
import uvicorn

from deploy.simulator.model.sessions import Clock
from deploy.simulator.model.settings import BASE_PATH, BUILT_IN_KEY, SimulatorSettings
from deploy.simulator.server.app import create_app

STOP_WITHIN_SECONDS = 2

log = structlog.get_logger()


def serve(settings: SimulatorSettings) -> None:
    """Listen until SIGTERM or SIGINT. Calls that are still open two seconds later are cut off.

    Raises OSError when the address can't be used. There is no access log: its lines would contain api_secrets.
    """
    with listening_socket(settings.listen) as listener:
        log_usage(settings, port=listener.getsockname()[1])
        server(settings).run(sockets=[listener])


def log_usage(settings: SimulatorSettings, port: int) -> None:
    """Log the address, the built-in api_key, and the commands that play one session by hand.

    Of other accounts nothing is logged, and no api_secret at all.
    """
    address = f"http://{settings.listen.rpartition(':')[0]}:{port}"
    base_url, key = f"{address}{BASE_PATH}", BUILT_IN_KEY if BUILT_IN_KEY in settings.accounts else "API_KEY"
    log.info("simulator.listening", address=address, base_url=base_url, key=key)
    commands = (
        f"curl -s {base_url}/get_token -d api_key={key} -d api_secret=API_SECRET -d biz_no=try-1"
        " -d comparison_type=-1 -d notify_url=http://127.0.0.1:8028/callbacks/default/notify"
        " -d return_url=http://127.0.0.1:8028/callbacks/default/return",
        f"open {base_url}/do?token=TOKEN in a browser; &user=SCENARIO chooses one of {address}/simulator/scenarios",
        f"curl -s {address}/simulator/sessions",
    )
    for step, command in enumerate(commands, 1):
        log.info("simulator.usage", step=step, command=command)


def listening_socket(listen: str) -> socket.socket:
    """A socket that listens on `host:port`. Port 0 takes a free port: see `getsockname`. Raises OSError."""
    host, _, port = listen.rpartition(":")
    listener = socket.create_server((host.strip("[]"), int(port)), backlog=2048)
    # asyncio sets TCP_NODELAY only on sockets of protocol TCP, and these have 0. Without it a request takes 40 ms more.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def server(settings: SimulatorSettings, clock: Clock = time.time) -> uvicorn.Server:
    """The server that `serve` runs. Tests run it in an event loop of their own."""
    config = uvicorn.Config(
        create_app(settings, clock),
        access_log=False,
        log_config=None,  # uvicorn's own configuration would replace that of the process
        log_level="error",
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=STOP_WITHIN_SECONDS,
        lifespan="on",
    )
    logging.getLogger("uvicorn.error").addFilter(_is_unexpected)
    return uvicorn.Server(config)


def _is_unexpected(record: logging.LogRecord) -> bool:
    """False for uvicorn's complaint about responses that faults cut off or withhold on purpose."""
    return "ASGI callable returned without" not in record.getMessage()
