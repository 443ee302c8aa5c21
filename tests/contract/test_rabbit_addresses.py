"""A URL that lists several addresses of RabbitMQ: the first that answers is used, at once."""

import socket
from collections.abc import Iterator
from contextlib import closing

import pytest

from console.status.brokers import open_queue_stats
from shared.brokers.factory import open_async_publisher, open_publisher
from shared.brokers.rabbitmq_listener import Listener
from shared.messaging.message import Message
from tests.support.places import Place, receive
from tests.support.redis_clients import CLOSED_PORT

pytestmark = pytest.mark.server
MESSAGE = Message("faceid.verified", b"x", "text/plain", {})
SECONDS = 10.0
"""Time-out of each exchange. The address that is silent takes a third of it."""


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port whose server accepts connections and never answers, like a node that hangs."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield int(server.getsockname()[1])


@pytest.fixture
def addresses(rabbit_url: str, silent_port: int) -> str:
    """Two addresses that are of no use, and one that is."""
    user = "amqp://guest:guest@127.0.0.1"
    return f"{user}:{CLOSED_PORT}//;{user}:{silent_port}//;{rabbit_url}"


def test_a_publisher_and_its_depths(addresses: str) -> None:
    with closing(open_publisher(addresses, SECONDS, queues=("verified",))) as publisher:
        publisher.publish([MESSAGE])
        assert publisher.depths(["faceid.verified"]) == [1]


async def test_the_publisher_of_the_ingress(addresses: str) -> None:
    publisher = open_async_publisher(addresses, SECONDS, prefix="faceid", queues=("verified",))
    assert list(await publisher.publish([MESSAGE])) == [None]
    await publisher.close()


def test_the_source_of_a_worker(addresses: str, redis_url: str) -> None:
    with closing(Place(redis_url, addresses, addresses)) as place:
        place.publish(MESSAGE)
        source = place.source()
        assert [delivery.body for delivery in receive(source)] == [b"x"]


def test_the_console_status_and_its_listener(addresses: str) -> None:
    open_publisher(addresses, SECONDS, queues=("verified",)).publish([MESSAGE])
    with open_queue_stats(addresses, "FACEID_BROKER_URL") as stats:
        assert stats.depth("faceid.verified").waiting == 1
    Listener(addresses, "faceid", ["decision.#"]).close()
