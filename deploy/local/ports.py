"""Find free ports on this machine, and wait until a port is open or closed."""

import secrets
import socket
import time
from typing import Final

SERVER_PORTS: Final = range(20_000, 32_768)
"""Below Linux's default range of ports for outgoing connections (32768 to 60999)."""


class NotListening(Exception):
    """No server listens on the port in time."""


class StillListening(Exception):
    """A server still listens on the port."""


def free_port() -> int:
    """A port that is free on 127.0.0.1 now."""
    while True:
        port = secrets.choice(SERVER_PORTS)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port


def is_listening(host: str, port: int) -> bool:
    """Whether a connection can be made within a second."""
    try:
        socket.create_connection((host, port), timeout=1).close()
    except OSError:
        return False
    return True


def wait_listening(host: str, port: int, seconds: float = 20.0) -> None:
    """Return when a server listens there. Raises `NotListening` after `seconds`."""
    deadline = time.monotonic() + seconds
    while not is_listening(host, port):
        if time.monotonic() > deadline:
            raise NotListening(f"no server listens on {host}:{port} after {seconds:g} s")
        time.sleep(0.02)


def wait_free(host: str, port: int, seconds: float = 20.0) -> None:
    """Return when no server listens there. Raises `StillListening` after `seconds`."""
    deadline = time.monotonic() + seconds
    while is_listening(host, port):
        if time.monotonic() > deadline:
            raise StillListening(f"a server still listens on {host}:{port} after {seconds:g} s")
        time.sleep(0.02)
