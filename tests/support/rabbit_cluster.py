"""Three RabbitMQ nodes of one cluster on loopback."""

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Final

from deploy.local.ports import free_port
from deploy.local.rabbit_server import RabbitServer
from tests.support.waiting import until

NODES: Final = 3
RULES: Final = {"cluster_partition_handling": "pause_minority", "net_ticktime": "10"}
"""Settings that the documentation gives for a cluster."""


class RabbitCluster:
    """One node that is grown to three. They share a cookie and a name server (epmd)."""

    def __init__(self, folder: Path) -> None:
        """Start nothing yet. Raises `NoRabbit`."""
        shared = {"HOME": str(folder), "ERL_EPMD_PORT": str(free_port())}
        self.management_port = free_port()
        """The management API of the first node."""
        self.nodes: list[RabbitServer] = []
        for number in range(NODES):
            config = dict(RULES)
            if number:
                config["cluster_formation.peer_discovery_backend"] = "classic_config"
                config["cluster_formation.classic_config.nodes.1"] = self.nodes[0].name
            else:
                config["management.tcp.port"] = str(self.management_port)
                config["management.tcp.ip"] = "127.0.0.1"
            plugins = () if number else ("rabbitmq_management",)
            self.nodes.append(RabbitServer(folder / str(number), config=config, env=shared, plugins=plugins))

    @property
    def url(self) -> str:
        """All addresses, as FACEID_BROKER_URL has them."""
        return ";".join(node.url() for node in self.nodes)

    def start_first(self) -> None:
        """Start a cluster of one node."""
        self.nodes[0].start()

    def grow(self) -> None:
        """Start the other nodes. They join the first; its queues keep one member."""
        start_all(self.nodes[1:])
        until(lambda: len(self._running()) == NODES, what="the nodes to form a cluster")

    def grow_queues(self) -> None:
        """Give each queue a member on each node, with the commands that the documentation says.

        They are run again until every queue has all members, since a run on a busy machine has left queues with one.
        """

        def grown() -> bool:
            for node in self.nodes[1:]:
                self.nodes[0].script("rabbitmq-queues", "grow", node.name, "all", "--queue-pattern", "^faceid")
            listed = self.nodes[0].control("list_queues", "-p", "v0", "--formatter", "json", "name", "members")
            return all(len(row["members"]) == NODES for row in json.loads(listed) if row["name"].startswith("faceid."))

        until(grown, 500, what="the queues to grow")

    def leader(self, queue: str) -> RabbitServer:
        """The node that leads a queue."""
        rows = json.loads(self._asked().control("list_queues", "-p", "v0", "--formatter", "json", "name", "leader"))
        [name] = [row["leader"] for row in rows if row["name"] == queue]
        [node] = [node for node in self.nodes if node.name == name]
        return node

    def stop(self) -> None:
        """Stop all nodes, and the name server with the last one."""
        with ThreadPoolExecutor(NODES) as pool:
            list(pool.map(RabbitServer.stop, self.nodes))
        self.nodes[0].stop()

    def _running(self) -> Sequence[str]:
        status = json.loads(self._asked().control("cluster_status", "--formatter", "json"))
        names: list[str] = status["running_nodes"]
        return names

    def _asked(self) -> RabbitServer:
        """A node that runs."""
        return next(node for node in self.nodes if node.running)


def start_all(nodes: Sequence[RabbitServer]) -> None:
    """Start nodes at the same time."""
    with ThreadPoolExecutor(NODES) as pool:
        for done in [pool.submit(partial(node.start)) for node in nodes]:
            done.result()
