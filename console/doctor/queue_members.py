"""Whether each queue has a member on enough nodes of its RabbitMQ cluster. No I/O."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from console.doctor.probe import Refusal

ENOUGH: Final = 3
"""Members of a queue that a larger cluster needs too: one of three nodes may be lost. RabbitMQ creates that many."""
ONE_NODE: Final = Refusal(
    "1 node",
    "Add two nodes on other machines. While this one is away, callbacks are answered 503; with its disk, its messages"
    " are lost.",
    level="warn",
)
TWO_NODES: Final = Refusal(
    "2 nodes", "Add a third node: of two, both must run, since a queue needs most of its members.", level="warn"
)


@dataclass(frozen=True, slots=True)
class Cluster:
    """A RabbitMQ cluster, as it describes itself."""

    nodes: tuple[str, ...]
    """All of its nodes, running or not."""
    members: Mapping[str, Sequence[str]]
    """By queue: the nodes that hold a copy of it."""


def judge_members(cluster: Cluster, queues: Sequence[str], prefix: str) -> str | Refusal:
    """Compare the members of `queues`, given by full names, with the nodes."""
    wanted = min(len(cluster.nodes), ENOUGH)
    few = {queue: len(cluster.members[queue]) for queue in queues if len(cluster.members[queue]) < wanted}
    if few:
        listed = ", ".join(f"{queue} {count}" for queue, count in few.items())
        return Refusal(f"too few members on {len(cluster.nodes)} nodes: {listed}", _grow(cluster, few, prefix))
    if wanted < ENOUGH:
        return ONE_NODE if wanted == 1 else TWO_NODES
    return f"{len(cluster.nodes)} nodes, each queue on {wanted} or more"


def unchecked(reasons: Sequence[str]) -> Refusal:
    """Neither way to ask has worked, for these reasons."""
    return Refusal(
        f"not checked how many nodes hold each queue: AMQP does not say, {', and '.join(reasons)}",
        "Run `rabbitmqctl list_queues -p VHOST name members` on a node: in a cluster each queue needs three members."
        " Or enable rabbitmq_management and give the user the tag monitoring: then doctor checks it.",
        level="warn",
    )


def _grow(cluster: Cluster, few: Mapping[str, int], prefix: str) -> str:
    """The commands that add the missing members. They leave queues alone that have a member on the node."""
    missing = [node for node in cluster.nodes if any(node not in cluster.members[queue] for queue in few)]
    commands = "; ".join(rf"rabbitmq-queues grow {node} all --queue-pattern '^{prefix}\.'" for node in missing)
    return f"When the node with the only member is lost, callbacks are answered 503. Run on any node: {commands}"
