"""A primary and a replica behind one address, and the failovers from one to the other."""

from collections.abc import Callable
from typing import Final

from redis import Redis

from tests.support.proxies import Proxy
from tests.support.servers import RedisServer
from tests.support.waiting import LIMIT, until

PAUSE_MS: Final = int(LIMIT * 1000)


class ReplicaPair:
    """Two servers behind a proxy. The proxy leads new connections to the primary, and cuts none at a failover."""

    def __init__(self) -> None:
        self.primary = RedisServer(appendfsync="always")
        self.replica = RedisServer(appendfsync="always")

    def start(self) -> "ReplicaPair":
        """Start both. The replica has everything that the primary has."""
        self.primary.start()
        self.replica.start()
        follow(self.replica, self.primary)
        self.proxy = Proxy(self.primary.port)
        return self

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.proxy.port}/0"

    def stop(self) -> None:
        self.proxy.__exit__(None, None, None)
        self.primary.stop()
        self.replica.stop()

    def fail_over(self, how: Callable[[Redis, Redis, "ReplicaPair"], None]) -> None:
        """Make the replica the primary, and the primary its replica. Nothing is lost, and no connection is cut."""
        with self.primary.client() as old, self.replica.client() as new:
            how(old, new, self)
            until(lambda: role(self.replica) == "master", what="the replica to become the primary")
        self.proxy.upstream = self.replica.port
        self.primary, self.replica = self.replica, self.primary


def by_hand(old: Redis, new: Redis, pair: ReplicaPair) -> None:
    """As a script or a managed service does it: pause, wait for the replica, change both roles."""
    old.execute_command("CLIENT", "PAUSE", PAUSE_MS, "WRITE")
    until(lambda: old.info("replication")["slave0"]["offset"] == old.info("replication")["master_repl_offset"])
    new.replicaof("NO", "ONE")
    old.replicaof("127.0.0.1", pair.replica.port)
    old.execute_command("CLIENT", "UNPAUSE")


def by_command(old: Redis, _new: Redis, pair: ReplicaPair) -> None:
    """Redis's own FAILOVER."""
    old.execute_command("FAILOVER", "TO", "127.0.0.1", pair.replica.port)


def follow(server: RedisServer, primary: RedisServer) -> None:
    """Make a server a replica; returns when it is in step, and the primary knows it."""

    def states() -> set[str]:
        known = main.info("replication")
        return {known[f"slave{number}"]["state"] for number in range(known["connected_slaves"])}

    with server.client() as client, primary.client() as main:
        client.replicaof("127.0.0.1", primary.port)
        until(lambda: client.info("replication")["master_link_status"] == "up", what="the replica to be in step")
        until(lambda: states() == {"online"}, what="the primary to know its replica")


def role(server: RedisServer) -> str:
    """`master` or `slave`."""
    with server.client() as client:
        return str(client.info("replication")["role"])
