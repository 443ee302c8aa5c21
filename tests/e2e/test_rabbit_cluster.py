"""The pipeline on a RabbitMQ cluster of three nodes: whichever node is lost, no session is. No process is restarted."""

import asyncio
import os
import time
from collections.abc import Callable, Iterator
from itertools import count

import pytest

from console.doctor.cluster_reader import probe_members
from console.doctor.probe import Refusal
from deploy.local.rabbit_server import NoRabbit, RabbitServer
from deploy.local.stack import Stack
from shared.brokers.factory import ALL_QUEUES, open_connection, rabbit_topology
from tests.support.biz_ids import biz_id
from tests.support.load import bodies, post_until_stored
from tests.support.rabbit_cluster import RabbitCluster, start_all
from tests.support.redis_clients import open_redis
from tests.support.result_readers import Consuming, consuming
from tests.support.stacks import new_stack
from tests.support.waiting import eventually, until

pytestmark = pytest.mark.server
SESSIONS = int(os.environ.get("FACEID_TEST_SESSIONS", "150"))
"""For each fault. The figures in the documentation are of 1,000."""
SECONDS = 60.0
"""Time-out of a request to RabbitMQ."""
Repair = Callable[[], None]
Fault = Callable[[RabbitCluster, RabbitServer], Repair]
"""Injects a fault into the node that leads the first queue. Returns what ends the fault."""
FIRST = count(1, SESSIONS)
"""The number of the first session of each test."""


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


@pytest.fixture(scope="module")
def cluster(grown: RabbitCluster) -> RabbitCluster:
    """The same cluster, with each queue on each node."""
    grown.grow_queues()
    return grown


@pytest.fixture(scope="module")
def stack(cluster: RabbitCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A pipeline that knows all three addresses."""
    settings = {"FACEID_STORE_TIMEOUT_SECONDS": "2"}
    with new_stack(tmp_path_factory.mktemp("stack"), broker_url=cluster.url, settings=settings).running() as running:
        yield running


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

    until(lambda: members(grown) == "3 nodes, each queue on 3 or more", what="the management API to list the members")


def kill_leader(_cluster: RabbitCluster, leader: RabbitServer) -> Repair:
    """It is started again once work has gone on."""
    leader.kill()
    return leader.start


def pause_leader(_cluster: RabbitCluster, leader: RabbitServer) -> Repair:
    """SIGSTOP: its connections stay open. It continues once work has gone on."""
    leader.pause()
    return leader.resume


def kill_two(cluster: RabbitCluster, leader: RabbitServer) -> Repair:
    """The leader and another node. They are started again at once, since one node alone stores nothing."""
    lost = [leader, *[node for node in cluster.nodes if node is not leader][:1]]
    for node in lost:
        node.kill()
    start_all(lost)
    return lambda: None


IN_FULL_SIZE = [kill_two] if "FACEID_TEST_SESSIONS" in os.environ else []
"""Faults of the long run alone: how long the two nodes take to come back depends on the machine."""


@pytest.mark.parametrize("fault", [kill_leader, pause_leader, *IN_FULL_SIZE])
def test_no_session_is_lost_when(fault: Fault, cluster: RabbitCluster, stack: Stack) -> None:
    first = next(FIRST)
    sessions = {biz_id(number) for number in range(first, first + SESSIONS)}
    with consuming(cluster.url) as consumer:
        asyncio.run(post_through(fault, cluster, stack, consumer, first))
        until(lambda: decided(consumer) >= sessions, what="every decision", of=stack.programs)
    made = {decision.id for decision in consumer.handled}  # on two servers a decision may be published twice
    print(f"{len(consumer.handled)} messages, {len(made)} decisions, lost {len(sessions - decided(consumer))}")
    assert len(made) == SESSIONS
    with open_redis(stack.redis_url) as redis:
        assert redis.zcard("faceid:dead") == 0
    assert all(program.running for program in stack.programs)


async def post_through(fault: Fault, cluster: RabbitCluster, stack: Stack, consumer: Consuming, first: int) -> None:
    """Post each callback until it is answered 200: half of them before and during the fault, the others after it."""
    half = SESSIONS // 2
    late = {biz_id(number) for number in range(first + half, first + SESSIONS)}
    leader = cluster.leader("faceid.callbacks")
    before = asyncio.create_task(post_until_stored(stack.notify_url, bodies(half, first=first)))
    await waited(lambda: len(consumer.handled) >= half // 4, stack)
    at = time.monotonic()
    repair = await asyncio.to_thread(fault, cluster, leader)
    times = [time.monotonic() - at]
    try:
        stored: list[float] = []
        load = bodies(SESSIONS - half, first=first + half)
        after = asyncio.create_task(post_until_stored(stack.notify_url, load, note=stored.append))
        await waited(lambda: stored, stack)
        times.append(time.monotonic() - at)
        await waited(lambda: decided(consumer) & late, stack)
        times.append(time.monotonic() - at)
    finally:
        await asyncio.to_thread(repair)
    await asyncio.gather(before, after)
    print("{}: injected in {:.1f} s, stored after {:.1f} s, decided after {:.1f} s".format(fault.__name__, *times))


def decided(consumer: Consuming) -> set[str]:
    """The biz_ids whose decisions were consumed."""
    return {decision.biz_id for decision in consumer.handled}


async def waited(condition: Callable[[], object], stack: Stack) -> None:
    """Wait while the pipeline runs, at most ten minutes: RabbitMQ takes a minute to give up a node that hangs."""
    await eventually(condition, 600, of=stack.programs)
