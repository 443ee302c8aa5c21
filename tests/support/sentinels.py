"""A primary, a replica and three Sentinels on loopback."""

import signal
import subprocess
from contextlib import suppress
from typing import Final, Self

from redis import Redis
from redis.exceptions import RedisError

from deploy.local.ports import free_port
from tests.support.replicas import follow, role
from tests.support.servers import RedisServer, find_server
from tests.support.waiting import until

NAME: Final = "main"
DOWN_MS: Final = 1000
"""After so long without an answer a Sentinel takes the primary for dead. Redis's default is 30 s."""
PASSWORD: Final = "password-of-the-sentinels"


class SentinelSetup:
    """Two servers, and three Sentinels with a password of their own that make the replica the primary."""

    def __init__(self) -> None:
        self.primary = RedisServer(appendfsync="always")
        self.replica = RedisServer(appendfsync="always")
        self.ports = [free_port() for _ in range(3)]
        self._processes: list[subprocess.Popen[bytes]] = []

    @property
    def url(self) -> str:
        hosts = ",".join(f"127.0.0.1:{port}" for port in self.ports)
        return f"redis+sentinel://{hosts}/{NAME}/0?sentinel_password={PASSWORD}"

    def start(self) -> Self:
        """Start all. Returns when every Sentinel knows the replica and the other Sentinels."""
        self.primary.start()
        self.replica.start()
        follow(self.replica, self.primary)
        self._processes = [self._start_sentinel(port) for port in self.ports]
        for port in self.ports:
            until(lambda port=port: self._is_complete(port), what="the Sentinels to know each other")  # type: ignore[misc]
        return self

    def stop(self) -> None:
        for process in self._processes:
            process.send_signal(signal.SIGKILL)
            process.wait()
        self.primary.stop()
        self.replica.stop()

    def kill_primary(self) -> RedisServer:
        """SIGKILL the primary, and return it. The Sentinels notice it after `DOWN_MS`."""
        self.primary.kill()
        self.primary, self.replica = self.replica, self.primary
        return self.replica

    def fail_over(self) -> None:
        """Have a Sentinel make the replica the primary; both servers live on."""
        with self._client(self.ports[0]) as sentinel:
            sentinel.execute_command("SENTINEL", "FAILOVER", NAME)
        until(lambda: role(self.replica) == "master", what="the replica to become the primary")
        until(lambda: role(self.primary) == "slave", what="the old primary to become a replica")
        self.primary, self.replica = self.replica, self.primary

    def _start_sentinel(self, port: int) -> "subprocess.Popen[bytes]":
        config = self.primary.folder / f"sentinel-{port}.conf"  # a Sentinel writes to it
        config.write_text(
            f"port {port}\nbind 127.0.0.1\nlogfile {config}.log\nrequirepass {PASSWORD}\n"
            f"sentinel sentinel-pass {PASSWORD}\n"
            f"sentinel monitor {NAME} 127.0.0.1 {self.primary.port} 2\n"
            f"sentinel down-after-milliseconds {NAME} {DOWN_MS}\nsentinel failover-timeout {NAME} 10000\n"
        )
        return subprocess.Popen([str(find_server()), str(config), "--sentinel"], stdout=subprocess.DEVNULL)

    def _is_complete(self, port: int) -> bool:
        with self._client(port) as sentinel, suppress(RedisError):
            state = sentinel.sentinel_master(NAME)
            return int(state["num-other-sentinels"]) == 2 and int(state["num-slaves"]) == 1
        return False

    def _client(self, port: int) -> Redis:
        return Redis(port=port, password=PASSWORD)
