import pytest

from console.doctor.probe import Refusal
from console.doctor.queue_members import ONE_NODE, TWO_NODES, Cluster, judge_members, unchecked

A, B, C, D = "rabbit@a", "rabbit@b", "rabbit@c", "rabbit@d"
QUEUES = ("faceid.callbacks", "faceid.verified")


def judged(nodes: tuple[str, ...], *members: tuple[str, ...]) -> str | Refusal:
    return judge_members(Cluster(nodes, dict(zip(QUEUES, members, strict=True))), QUEUES, "faceid")


def test_a_queue_that_stayed_on_one_node_of_three_is_a_failure_with_the_commands_to_run() -> None:
    found = judged((A, B, C), (A,), (A, B, C))

    assert isinstance(found, Refusal)
    assert (found.level, found.found) == ("fail", "too few members on 3 nodes: faceid.callbacks 1")
    assert rf"rabbitmq-queues grow {B} all --queue-pattern '^faceid\.'; " in found.hint
    assert f"grow {C} " in found.hint
    assert f"grow {A} " not in found.hint


@pytest.mark.parametrize("nodes", [(A, B, C), (A, B, C, D)])
def test_three_members_are_enough_on_any_number_of_nodes(nodes: tuple[str, ...]) -> None:
    assert judged(nodes, (A, B, C), (A, B, C)) == f"{len(nodes)} nodes, each queue on 3 or more"


def test_one_or_two_nodes_are_a_warning() -> None:
    assert judged((A,), (A,), (A,)) == ONE_NODE
    assert judged((A, B), (A, B), (A, B)) == TWO_NODES
    assert ONE_NODE.level == TWO_NODES.level == "warn"


def test_two_nodes_with_a_queue_on_one_are_a_failure() -> None:
    found = judged((A, B), (A, B), ())

    assert isinstance(found, Refusal)
    assert (found.level, found.found) == ("fail", "too few members on 2 nodes: faceid.verified 0")


def test_what_could_not_be_asked_is_a_warning_with_every_reason() -> None:
    found = unchecked(["the management API did not answer", "rabbitmqctl is not on this machine"])

    assert found.level == "warn"
    assert found.found.endswith(
        "AMQP does not say, the management API did not answer, and rabbitmqctl is not on this machine"
    )
