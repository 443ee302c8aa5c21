"""The pipeline on a RabbitMQ cluster of three nodes."""

import os
from collections.abc import Iterator

import pytest

from console.doctor.cluster_reader import probe_members
from console.doctor.probe import Refusal
from deploy.local.rabbit_server import NoRabbit
from shared.brokers.factory import ALL_QUEUES, open_connection, rabbit_topology
from tests.support.rabbit_cluster import RabbitCluster

pytestmark = pytest.mark.server
SECONDS = 60.0
"""Time-out of a request to RabbitMQ."""


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitCluster]:
    """A cluster that was grown from one node, on which the queues were made."""
    try:
        cluster = RabbitCluster(tmp_path_factory.mktemp("cluster"))
    except NoRabbit as error:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(str(error))
    try:
        cluster.start_first()
        with open_connection(cluster.nodes[0].url()) as connection:
            rabbit_topology("faceid", ALL_QUEUES).declare(connection.default_channel)
        cluster.grow()
        yield cluster
    finally:
        cluster.stop()


def members(cluster: RabbitCluster) -> str | Refusal:
    """What doctor says, by the management API."""
    [probe] = probe_members(cluster.url, "faceid", ALL_QUEUES, SECONDS, cluster.management_port)
    assert probe.what == "members"
    return probe.result


def test_doctor_refuses_queues_on_one_node_of_three_until_they_are_grown(
    grown: RabbitCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    nodes = [node.name for node in grown.nodes]
    by_management = members(grown)
    for name, value in grown.nodes[1].env.items():  # what rabbitmqctl finds for itself where a node is installed
        monkeypatch.setenv(name, value)
    [by_control] = probe_members(grown.url, "faceid", ALL_QUEUES, SECONDS)

    assert isinstance(by_management, Refusal)
    assert by_management.level == "fail"
    assert by_management.found.startswith("too few members on 3 nodes: faceid.callbacks 1, ")
    assert [name in by_management.hint for name in nodes] == [False, True, True]
    assert by_control.result == by_management

    grown.grow_queues()

    assert members(grown) == "3 nodes, each queue on 3 or more"
