"""A RabbitMQ of our own: a real node on free ports, with a folder of its own. Debian's package brings the program."""

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from deploy.local.ports import free_port, wait_free, wait_listening

HOME: Final = Path("/usr/lib/rabbitmq/bin")
"""Where Debian keeps the scripts that run as whoever calls them; those on the PATH insist on root or `rabbitmq`."""
START_SECONDS: Final = 120.0
CONTROL_SECONDS: Final = 180.0
"""Either takes a second or a few, and many times as long on a machine that is far too busy."""


class NoRabbit(Exception):
    """RabbitMQ is not installed on this machine."""


def find_script(name: str) -> str:
    """The path of `rabbitmq-server` or `rabbitmqctl`. Raises `NoRabbit`."""
    if (HOME / name).exists():
        return str(HOME / name)
    if path := shutil.which(name):
        return path
    raise NoRabbit(f"no {name} on this machine; Debian's package is rabbitmq-server")


class RabbitServer:
    """One node with as many virtual hosts as are asked for; killing and starting again keeps its data."""

    def __init__(self, folder: Path, vhosts: int = 1) -> None:
        """The virtual hosts are named `v0`, `v1`, ...; guest may do anything in them."""
        self.folder = folder
        self.port = free_port()
        self._vhosts = vhosts
        self._name = f"faceid-{self.port}@localhost"
        self._env = _environment(folder, self._name)
        self._process: subprocess.Popen[bytes] | None = None
        self._server, self._control = find_script("rabbitmq-server"), find_script("rabbitmqctl")

    def url(self, vhost: int = 0) -> str:
        """The address of a virtual host."""
        return f"amqp://guest:guest@127.0.0.1:{self.port}/v{vhost}"

    @property
    def pid(self) -> int:
        """The process group of the node; raises RuntimeError when it is not running."""
        if self._process is None:
            raise RuntimeError("the server is not running")
        return self._process.pid

    def start(self) -> None:
        """Start, and return when it takes connections."""
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "enabled_plugins").write_text("[].")
        (self.folder / "definitions.json").write_text(json.dumps(_definitions(self._vhosts)))
        (self.folder / "rabbitmq.conf").write_text(
            f"listeners.tcp.1 = 127.0.0.1:{self.port}\n"
            f"load_definitions = {self.folder / 'definitions.json'}\n"
            "disk_free_limit.absolute = 1MB\n"
            "vm_memory_high_watermark.absolute = 2GB\n"
        )
        with (self.folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - Debian's program
                [self._server], cwd=self.folder, env=self._env, stdout=log, stderr=log, start_new_session=True
            )
        wait_listening("127.0.0.1", self.port, START_SECONDS)

    def stop(self) -> None:
        """Stop it, and the name server it has started; harmless when it is not running."""
        self._end(signal.SIGTERM)
        subprocess.run(["epmd", "-kill"], env=self._env, check=False, capture_output=True)  # noqa: S607

    def kill(self) -> None:
        """SIGKILL: what a crash of the node is like."""
        self._end(signal.SIGKILL)

    def pause(self) -> None:
        """SIGSTOP: the node hangs, its connections stay."""
        os.killpg(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Go on after `pause`."""
        os.killpg(self.pid, signal.SIGCONT)

    def full(self, *, full: bool) -> None:
        """Raise or clear the memory alarm, under which RabbitMQ takes nothing in."""
        self.control("set_vm_memory_high_watermark", "absolute", "1MB" if full else "2GB")

    def control(self, *words: str) -> str:
        """Run `rabbitmqctl`; raises CalledProcessError."""
        return subprocess.run(  # noqa: S603 - Debian's program
            [self._control, "--quiet", *words],
            env=self._env,
            check=True,
            capture_output=True,
            text=True,
            timeout=CONTROL_SECONDS,
        ).stdout

    def _end(self, number: signal.Signals) -> None:
        """The script is a shell around the node: the signal goes to the whole group."""
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
        wait_free("127.0.0.1", self.port)  # the shell may be gone before the node is


def _environment(folder: Path, name: str) -> Mapping[str, str]:
    return {
        "PATH": os.environ.get("PATH", ""),
        "LANG": "C.UTF-8",
        "HOME": str(folder),  # where the cookie is
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
