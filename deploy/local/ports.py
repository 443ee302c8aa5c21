"""Find free ports on this machine, and wait until a port is open or closed."""

import secrets
import socket
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

SERVER_PORTS: Final = range(20_000, 32_768)
"""Below Linux's default range of ports for outgoing connections (32768 to 60999)."""
START_SECONDS: Final = 60.0
"""How long a server may take to start or to stop on a busy machine."""


class NotListening(Exception):
    """No server listens on the port in time."""


class StillListening(Exception):
    """A server still listens on the port."""


class FreePorts:
    """Chooses ports of a range that are free on 127.0.0.1, each only once.

    Processes that choose at the same time need ranges of their own: a port is free until its server listens on it.
    """

    def __init__(self, ports: Sequence[int]) -> None:
        self._left = list(ports)
        secrets.SystemRandom().shuffle(self._left)

    def take(self) -> int:
        """A port that is free now. Raises IndexError when none is left."""
        while True:
            port = self._left.pop()
            with socket.socket() as probe, suppress(OSError):
                probe.bind(("127.0.0.1", port))
                return port


_free_ports = FreePorts(SERVER_PORTS)


def use_ports(ports: Sequence[int]) -> None:
    """Choose from these ports from now on."""
    global _free_ports  # noqa: PLW0603 - set once, at the start of a process
    _free_ports = FreePorts(ports)


def free_port() -> int:
    """A port that is free on 127.0.0.1 now. A process gets each port only once."""
    return _free_ports.take()


def is_listening(host: str, port: int) -> bool:
    """Whether a connection can be made within a second."""
    try:
        socket.create_connection((host, port), timeout=1).close()
    except OSError:
        return False
    return True


def wait_listening(host: str, port: int, seconds: float = START_SECONDS) -> None:
    """Return when a server listens there. Raises `NotListening` after `seconds`."""
    deadline = time.monotonic() + seconds
    while not is_listening(host, port):
        if time.monotonic() > deadline:
            raise NotListening(f"no server listens on {host}:{port} after {seconds:g} s")
        time.sleep(0.02)


def wait_free(host: str, port: int, seconds: float = START_SECONDS) -> None:
    """Return when no server listens there. Raises `StillListening` after `seconds`."""
    deadline = time.monotonic() + seconds
    while is_listening(host, port):
        if time.monotonic() > deadline:
            raise StillListening(f"a server still listens on {host}:{port} after {seconds:g} s")
        time.sleep(0.02)
