"""Free ports on this machine, and waiting until somebody listens on one."""

import secrets
import socket
import time
from typing import Final

SERVER_PORTS: Final = range(20_000, 32_768)


class NotListening(Exception):
    """Nobody listens where somebody should by now."""


class StillListening(Exception):
    """Somebody listens where nobody should any more."""


def free_port() -> int:
    """A port that is free on the loopback address now, outside the range of outgoing connections."""
    while True:
        port = secrets.choice(SERVER_PORTS)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port


def is_listening(host: str, port: int) -> bool:
    """Whether a connection can be made."""
    try:
        socket.create_connection((host, port), timeout=1).close()
    except OSError:
        return False
    return True


def wait_listening(host: str, port: int, seconds: float = 20.0) -> None:
    """Return when somebody listens there; raises `NotListening` after `seconds`."""
    end = time.monotonic() + seconds
    while not is_listening(host, port):
        if time.monotonic() > end:
            raise NotListening(f"nobody listens on {host}:{port} after {seconds:g} s")
        time.sleep(0.02)


def wait_free(host: str, port: int, seconds: float = 20.0) -> None:
    """Return when nobody listens there any more; raises `StillListening` after `seconds`."""
    end = time.monotonic() + seconds
    while is_listening(host, port):
        if time.monotonic() > end:
            raise StillListening(f"somebody listens on {host}:{port} after {seconds:g} s")
        time.sleep(0.02)
