"""Start a RabbitMQ node on free ports with its own folder. Needs Debian's package rabbitmq-server."""

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from deploy.local.ports import free_port, wait_free, wait_listening

HOME: Final = Path("/usr/lib/rabbitmq/bin")
"""Debian's scripts that any user may run. Those on the PATH demand the user root or rabbitmq."""
START_SECONDS: Final = 120.0
CONTROL_SECONDS: Final = 180.0
"""Limits for a start and for `rabbitmqctl`. Each takes a few seconds, and much longer on a busy machine."""


class NoRabbit(Exception):
    """RabbitMQ is not installed on this machine."""


def find_script(name: str) -> str:
    """The path of `rabbitmq-server` or `rabbitmqctl`. Raises `NoRabbit`."""
    if (HOME / name).exists():
        return str(HOME / name)
    if path := shutil.which(name):
        return path
    raise NoRabbit(f"no {name} on this machine: install the package rabbitmq-server")


class RabbitServer:
    """One node with `vhosts` virtual hosts. Its data survives a kill and a new start."""

    def __init__(
        self,
        folder: Path,
        vhosts: int = 1,
        *,
        config: Mapping[str, str] | None = None,
        env: Mapping[str, str] | None = None,
        plugins: Sequence[str] = (),
    ) -> None:
        """The virtual hosts are `v0`, `v1`, ... The user guest has all permissions. Raises `NoRabbit`.

        `config`: further lines of rabbitmq.conf. `env`: environment variables that replace the node's own.
        """
        self.folder = folder
        self.port = free_port()
        self.name = f"faceid-{self.port}@localhost"
        """The name of its Erlang node."""
        self.env = {**_environment(folder, self.name), **(env or {})}
        """The environment of the node, and of commands such as `rabbitmqctl` that ask it."""
        self._vhosts = vhosts
        self._config = config or {}
        self._plugins = plugins
        self._process: subprocess.Popen[bytes] | None = None
        self._server = find_script("rabbitmq-server")

    def url(self, vhost: int = 0) -> str:
        """The URL of a virtual host."""
        return f"amqp://guest:guest@127.0.0.1:{self.port}/v{vhost}"

    @property
    def running(self) -> bool:
        """Whether it was started, and neither stopped nor killed."""
        return self._process is not None

    @property
    def pid(self) -> int:
        """The process group of the node. Raises RuntimeError when it is not running."""
        if self._process is None:
            raise RuntimeError("the server is not running")
        return self._process.pid

    def start(self) -> None:
        """Start it, and return when it accepts connections. Raises `NotListening`."""
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "enabled_plugins").write_text(f"[{','.join(self._plugins)}].")
        (self.folder / "definitions.json").write_text(json.dumps(_definitions(self._vhosts)))
        (self.folder / "rabbitmq.conf").write_text(
            f"listeners.tcp.1 = 127.0.0.1:{self.port}\n"
            f"load_definitions = {self.folder / 'definitions.json'}\n"
            "disk_free_limit.absolute = 1MB\n"
            "vm_memory_high_watermark.absolute = 2GB\n"
            + "".join(f"{name} = {value}\n" for name, value in self._config.items())
        )
        with (self.folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - Debian's program
                [self._server], cwd=self.folder, env=self.env, stdout=log, stderr=log, start_new_session=True
            )
        wait_listening("127.0.0.1", self.port, START_SECONDS)

    def stop(self) -> None:
        """Stop it and its name server (epmd). Does nothing when it is not running."""
        self._end(signal.SIGTERM)
        subprocess.run(["epmd", "-kill"], env=self.env, check=False, capture_output=True)  # noqa: S607

    def kill(self) -> None:
        """Send SIGKILL: like a crash of the node."""
        self._end(signal.SIGKILL)

    def pause(self) -> None:
        """Send SIGSTOP: the node hangs and its connections stay open."""
        os.killpg(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Continue after `pause`."""
        os.killpg(self.pid, signal.SIGCONT)

    def full(self, *, full: bool) -> None:
        """Raise or clear the memory alarm, which makes RabbitMQ block publishers."""
        self.control("set_vm_memory_high_watermark", "absolute", "1MB" if full else "2GB")

    def control(self, *arguments: str) -> str:
        """Run `rabbitmqctl` and return its output. Raises CalledProcessError."""
        return self.script("rabbitmqctl", *arguments)

    def script(self, name: str, *arguments: str) -> str:
        """Run a script of RabbitMQ, such as `rabbitmq-queues`, and return its output. Raises CalledProcessError."""
        return subprocess.run(  # noqa: S603 - Debian's program
            [find_script(name), "--quiet", *arguments],
            env=self.env,
            check=True,
            capture_output=True,
            text=True,
            timeout=CONTROL_SECONDS,
        ).stdout

    def _end(self, number: signal.Signals) -> None:
        """Send the signal to the process group: the script is a shell that runs the node."""
        if self._process is None:
            return
        os.killpg(self._process.pid, number)
        if number is not signal.SIGKILL:
            os.killpg(self._process.pid, signal.SIGCONT)  # it may be paused
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._process = None
        wait_free("127.0.0.1", self.port)  # the shell may end before the node


def _environment(folder: Path, name: str) -> Mapping[str, str]:
    return {
        "PATH": os.environ.get("PATH", ""),
        "LANG": "C.UTF-8",
        "HOME": str(folder),  # for the Erlang cookie
        "RABBITMQ_NODENAME": name,
        "RABBITMQ_DIST_PORT": str(free_port()),
        "ERL_EPMD_PORT": str(free_port()),
        "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq"),
        "RABBITMQ_MNESIA_BASE": str(folder / "db"),
        "RABBITMQ_LOG_BASE": str(folder / "log"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
    }


def _definitions(vhosts: int) -> dict[str, object]:
    names = [f"v{number}" for number in range(vhosts)]
    return {
        "users": [{"name": "guest", "password": "guest", "tags": ["administrator"]}],
        "vhosts": [{"name": name} for name in names],
        "permissions": [
            {"user": "guest", "vhost": name, "configure": ".*", "write": ".*", "read": ".*"} for name in names
        ],
    }
