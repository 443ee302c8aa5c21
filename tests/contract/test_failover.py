"""Every client goes on after a failover behind one address, although the demoted server keeps its connections."""

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from shared.brokers.factory import open_async_publisher, open_publisher
from shared.ledger.redis_client import open_redis
from shared.ledger.script_batcher import ScriptBatcher
from shared.messaging.errors import BrokerUnavailable
from shared.messaging.message import Message
from shared.messaging.publisher import NotStored
from shared.redis_servers.clients import open_client
from shared.redis_servers.primary import NotPrimary
from shared.results.queue import ResultQueue
from shared.results.streams_subscription import StreamsSubscription
from tests.support.places import Place, receive
from tests.support.redis_clients import CLOSED_PORT
from tests.support.replicas import ReplicaPair, by_command, by_hand
from tests.support.servers import RedisServer
from tests.support.waiting import until
from workers.runtime.settlement import Settlement
from workers.runtime.source import Source

pytestmark = pytest.mark.server
SECONDS = 60.0
MESSAGE = Message("faceid.callbacks", b"x", "text/plain", {})
NOTE = "return redis.call('RPUSH', KEYS[1], ARGV[1])"

FailOver = Callable[[], None]


@pytest.fixture(params=[by_hand, by_command])
def fail_over(replica_pair: ReplicaPair, request: pytest.FixtureRequest) -> FailOver:
    return lambda: replica_pair.fail_over(request.param)


class Held(NamedTuple):
    """A worker's source that holds a message."""

    place: Place
    source: Source
    settlement: Settlement
    server: RedisServer


@pytest.fixture
def held_message(private_server: RedisServer) -> Iterator[Held]:
    url = private_server.url
    with closing(Place(url, url, url)) as place:
        source = place.source()
        place.publish(MESSAGE)
        [delivery] = receive(source)
        settlement = Settlement(delivery.tag, results=(Message("faceid.decisions", b"made", "", {}),))
        yield Held(place, source, settlement, private_server)


def test_a_plain_client(replica_pair: ReplicaPair, fail_over: FailOver) -> None:
    with open_client(replica_pair.url, SECONDS, SECONDS) as redis:
        redis.set("key", 1)
        fail_over()
        with pytest.raises(NotPrimary, match="READONLY"):
            redis.set("key", 2)
        assert redis.set("key", 3)


def test_a_pipeline_and_a_script(replica_pair: ReplicaPair, fail_over: FailOver) -> None:
    with open_client(replica_pair.url, SECONDS, SECONDS) as redis:
        redis.ping()
        fail_over()
        with pytest.raises(NotPrimary), redis.pipeline(transaction=False) as pipe:
            pipe.get("key").set("key", 1).execute()
        assert redis.eval(NOTE, 1, "list", "x") == 1
        replica_pair.fail_over(by_hand)
        with pytest.raises(NotPrimary):
            redis.eval(NOTE, 1, "list", "x")
        assert redis.eval(NOTE, 1, "list", "x") == 2


async def test_the_ledger_whose_scripts_answer_with_a_list(
    replica_pair: ReplicaPair, fail_over: FailOver, tmp_path: Path
) -> None:
    (tmp_path / "note.lua").write_text(NOTE)
    async with open_redis(replica_pair.url, socket_timeout=SECONDS) as redis:
        scripts = ScriptBatcher(redis, tmp_path)
        assert await scripts.run([("note", ("a",), ("x",))]) == [1]
        fail_over()
        with pytest.raises(RedisConnectionError):
            await scripts.run([("note", ("a",), ("x",)), ("note", ("b",), ("x",))])
        assert await scripts.run([("note", ("a",), ("x",)), ("note", ("b",), ("x",))]) == [2, 1]


async def test_the_publisher_of_the_ingress(replica_pair: ReplicaPair, fail_over: FailOver) -> None:
    publisher = open_async_publisher(replica_pair.url, SECONDS, prefix="faceid", queues=())
    assert list(await publisher.publish([MESSAGE])) == [None]
    assert await publisher.depths([MESSAGE.queue]) == [1]
    fail_over()
    answers = await publisher.publish([MESSAGE, MESSAGE])
    assert [type(answer) for answer in answers] == [NotStored, NotStored]
    with pytest.raises(NotStored):
        await publisher.depths([MESSAGE.queue])
    assert list(await publisher.publish([MESSAGE])) == [None]
    assert await publisher.depths([MESSAGE.queue]) == [2]
    await publisher.close()


def test_a_publisher_that_waits(replica_pair: ReplicaPair, fail_over: FailOver) -> None:
    with closing(open_publisher(replica_pair.url, SECONDS)) as publisher:
        publisher.publish([MESSAGE])
        fail_over()
        with pytest.raises(NotStored):
            publisher.publish([MESSAGE])
        publisher.publish([MESSAGE])


def test_the_pump_settles_what_it_holds_once(replica_pair: ReplicaPair, fail_over: FailOver) -> None:
    with closing(Place(replica_pair.url, replica_pair.url, replica_pair.url)) as place:
        source = place.source()
        place.publish(MESSAGE)
        [delivery] = receive(source)
        fail_over()
        settlement = Settlement(delivery.tag, results=(Message("faceid.decisions", b"made", "", {}),))
        with pytest.raises(BrokerUnavailable, match="NotPrimary"):
            source.settle([settlement])
        source.settle([settlement])
        assert place.results() == [b"made"]
        place.publish(MESSAGE)
        receive(source)


def test_a_replica_without_its_primary_settles_nothing_and_loses_no_lease(held_message: Held) -> None:
    """Scripts run there, and their commands answer MASTERDOWN."""
    place, source, settlement, server = held_message
    server.config_set("replica-serve-stale-data", "no")
    with server.client() as redis:
        redis.replicaof("127.0.0.1", CLOSED_PORT)
        with pytest.raises(BrokerUnavailable, match="NotPrimary"):
            source.settle([settlement])
        redis.replicaof("NO", "ONE")
    source.settle([settlement])
    assert place.results() == [b"made"]


def test_a_primary_that_misses_its_replicas_is_tried_again(held_message: Held) -> None:
    place, source, settlement, server = held_message
    server.config_set("min-replicas-to-write", 1)
    with pytest.raises(BrokerUnavailable, match="NotPrimary"):
        source.settle([settlement])
    server.config_set("min-replicas-to-write", 0)
    source.settle([settlement])
    assert place.results() == [b"made"]


def test_a_consumer_of_results(replica_pair: ReplicaPair, fail_over: FailOver) -> None:
    queue = ResultQueue.of("faceid", "decisions", None)
    with closing(StreamsSubscription(replica_pair.url, queue, 1, 30.0)) as subscription:
        with closing(open_publisher(replica_pair.url, SECONDS)) as publisher:
            publisher.publish([replace(MESSAGE, queue=queue.name)] * 2)
        taken: list[Any] = []

        def take() -> bool:
            try:
                taken.extend(subscription.receive(0.05))
            except BrokerUnavailable:
                errors.append(1)
            return bool(taken)

        errors: list[int] = []
        until(take, what="the first message")
        subscription.settle([taken.pop()])
        fail_over()
        until(take, what="the second message, after the failover")
        assert errors
