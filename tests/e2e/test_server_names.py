"""What real processes do with URLs: two names for one server, and servers that can't be used."""

import asyncio
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.commands import Faceid
from tests.support.load import bodies, decisions, post_all
from tests.support.queues import is_idle
from tests.support.redis_clients import open_redis
from tests.support.servers import RedisServer, new_cluster_node
from tests.support.stacks import new_stack
from tests.support.waiting import until

pytestmark = pytest.mark.server
COUNT = 1500
KILLS = 6


@pytest.fixture
def cluster_node(redis_server: RedisServer) -> Iterator[RedisServer]:
    server = new_cluster_node().start()
    yield server
    server.stop()


def test_killed_workers_repeat_nothing_where_two_urls_name_one_server(
    tmp_path: Path, private_server: RedisServer
) -> None:
    stack = new_stack(
        tmp_path / "stack",
        redis_url=private_server.url,
        broker_url=private_server.url.replace("127.0.0.1", "localhost"),
        results_url=private_server.unix_url,
        settings={"FACEID_LEASE_SECONDS": "2", "FACEID_RECONCILE": "never"},  # a read of a killed worker lasts minutes
    )

    def made() -> int:
        return len(decisions(redis))

    async def post_and_kill() -> None:
        posting = asyncio.create_task(post_all(stack.notify_url, bodies(COUNT)))
        for number in range(KILLS):
            await asyncio.to_thread(until, lambda number=number: made() >= (number + 1) * 150, of=stack.programs)  # type: ignore[misc]
            victim = stack.workers[number % 2]
            victim.kill()
            victim.start()
        await posting

    with closing(open_redis(private_server.url)) as redis, stack.running():
        asyncio.run(post_and_kill())
        until(lambda: made() >= COUNT and is_idle(redis), what="every decision", of=stack.programs)
        found = decisions(redis)
    repeated = len(found) - len({decision["biz_id"] for decision in found})
    print(f"{COUNT} callbacks, {KILLS} kills: {repeated} repeated")
    assert (len(found) - repeated, repeated) == (COUNT, 0)


@pytest.mark.parametrize("command", ["ingress", "worker"])
def test_a_process_refuses_a_redis_cluster_at_its_start(cluster_node: RedisServer, command: str) -> None:
    faceid = Faceid(
        {
            "FACEID_REDIS_URL": cluster_node.url,
            "FACEID_API_KEY": "key",
            "FACEID_API_SECRETS": "secret",
            "FACEID_BASE_URL": "http://127.0.0.1:1/faceid/lite",
        }
    )
    ran = faceid.start(command)
    _, error = ran.communicate()
    assert ran.returncode == 2
    assert "FACEID_" in error
    assert "is a Redis Cluster (cluster_enabled:1)" in error.replace("\n", " ")


def test_the_doctor_refuses_a_redis_cluster(cluster_node: RedisServer) -> None:
    ran = Faceid({"FACEID_REDIS_URL": cluster_node.url, "FACEID_API_SECRETS": "secret"})("doctor", "--json")
    found = {record["check"]: record for record in ran.records}
    assert ran.code == 1
    assert (found["redis"]["level"], found["broker"]["level"]) == ("fail", "fail")
    assert "is a Redis Cluster" in found["redis"]["found"]


def test_the_doctor_tries_every_address_of_a_list(redis_url: str) -> None:
    ran = Faceid({"FACEID_REDIS_URL": redis_url, "FACEID_BROKER_URL": "amqp://127.0.0.1:1;amqp://127.0.0.1:2"})(
        "doctor", "--json"
    )
    names = [record["check"] for record in ran.records if record["level"] == "fail"]
    assert {"broker address 1", "broker address 2", "results address 1", "results address 2"} <= set(names)
