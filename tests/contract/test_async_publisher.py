"""Publishing from an asyncio loop to Redis Streams: every message gets its own result."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from time import monotonic
from typing import Any

import pytest
from hiredis import Reader as ReplyReader

from shared.brokers.factory import open_async_publisher
from shared.messaging.async_publisher import AsyncPublisher
from shared.messaging.message import Message
from shared.messaging.publisher import NotStored
from tests.contract.test_publisher import bodies, messages
from tests.support.redis_clients import open_redis
from tests.support.replicas import ReplicaPair, follow
from tests.support.servers import RedisServer
from tests.support.stream_clients import reader
from tests.support.waiting import eventually

SECONDS = 3.0
"""The timeout of a call that is meant to time out, longer than a busy machine pauses."""
PATIENCE = 60.0
"""The timeout of a call that is meant to succeed."""


@asynccontextmanager
async def publishing(url: str, seconds: float = PATIENCE) -> AsyncIterator[AsyncPublisher]:
    publisher = open_async_publisher(url, seconds, prefix="p", queues=())
    yield publisher
    await publisher.close()


async def test_a_batch_is_stored_in_order_and_each_message_gets_its_result(any_redis_url: str) -> None:
    async with publishing(any_redis_url) as publisher:
        numbers = [b"%d" % number for number in range(200)]
        assert list(await publisher.publish(messages(*numbers))) == [None] * 200
        assert list(await publisher.publish(messages(bytes(range(256)), b""))) == [None] * 2
    with open_redis(any_redis_url) as redis:
        assert bodies(redis) == [*numbers, bytes(range(256)), b""]


@pytest.mark.parametrize("content_type", ["text/odd; x=é", ""])
async def test_a_consumer_reads_the_message_that_was_published(any_redis_url: str, content_type: str) -> None:
    headers: dict[str, str | int | float] = {
        "id": "i",
        "query": 'a="é\x7f\\',
        "received_at": 1763800000.123456,
        "attempts": 3,
    }
    async with publishing(any_redis_url) as publisher:
        await publisher.publish([Message("q", b"\xff\x00", content_type, headers)])
    with reader(any_redis_url, "q") as consumer:
        (message,) = consumer.receive(1)
        assert message.body == b"\xff\x00"
        assert message.headers == headers
        assert (message.content_type or "") == content_type


async def test_a_refused_message_does_not_affect_the_others_of_its_batch(any_redis_url: str) -> None:
    with open_redis(any_redis_url) as redis:
        redis.set("p.other", "no stream")
        first, second = messages(b"first", b"second")
        async with publishing(any_redis_url) as publisher:
            answers = await publisher.publish([first, Message("p.other", b"refused", "", {}), second])
        assert [type(answer) for answer in answers] == [type(None), NotStored, type(None)]
        assert bodies(redis) == [b"first", b"second"]


async def test_depth_sums_all_queues_and_a_server_without_a_memory_limit_is_not_full(
    any_redis_url: str,
) -> None:
    async with publishing(any_redis_url) as publisher:
        await publisher.publish(messages(b"a", b"b"))
        assert await publisher.depths(["p.callbacks", "p.verified"]) == [2, 0]
        assert (await publisher.memory()).share == 0


async def test_a_server_that_refuses_connections_is_reported_at_once() -> None:
    async with publishing("redis://127.0.0.1:1/0") as publisher:
        for _ in range(2):
            began = monotonic()
            assert [type(answer) for answer in await publisher.publish(messages(b"x", b"y"))] == [NotStored] * 2
            with pytest.raises(NotStored):
                await publisher.depths(["q"])
            assert monotonic() - began < PATIENCE / 2


async def test_only_messages_answered_before_the_connection_broke_count_as_stored() -> None:
    async with _answering(2) as url, publishing(url) as publisher:
        answers = await publisher.publish(messages(b"1", b"2", b"3", b"4"))
    assert [type(answer) for answer in answers] == [type(None)] * 2 + [NotStored] * 2


async def test_a_late_reply_is_not_taken_for_a_reply_to_the_next_batch() -> None:
    late = asyncio.Event()
    async with _answering(1, then=late.wait) as url, publishing(url, SECONDS) as publisher:
        assert [type(a) for a in await publisher.publish(messages(b"1", b"2"))] == [type(None), NotStored]
        late.set()
        assert list(await publisher.publish(messages(b"3"))) == [None]


@pytest.mark.server
async def test_publishing_to_a_hanging_server_times_out_and_works_again_after_it_recovers(
    private_server: RedisServer,
) -> None:
    async with publishing(private_server.url, SECONDS) as publisher:
        await publisher.publish(messages(b"before"))
        private_server.pause()
        assert [type(answer) for answer in await publisher.publish(messages(b"hangs"))] == [NotStored]
        private_server.resume()
        await eventually(lambda: stored(publisher, b"after"))
        with private_server.client() as redis:
            assert {body for body in bodies(redis) if body != b"hangs"} == {b"before", b"after"}
        private_server.kill()
        assert [type(answer) for answer in await publisher.publish(messages(b"killed"))] == [NotStored]
        private_server.start()
        await eventually(lambda: stored(publisher, b"again"))
        with private_server.client() as redis:
            assert bodies(redis)[-1] == b"again"


async def stored(publisher: AsyncPublisher, body: bytes) -> bool:
    return list(await publisher.publish(messages(body))) == [None]


@pytest.mark.server
async def test_a_connection_that_was_lost_while_idle_is_replaced(
    private_server: RedisServer,
) -> None:
    async with publishing(private_server.url) as publisher:
        await publisher.publish(messages(b"before"))
        private_server.restart()
        for _ in range(3):
            await asyncio.sleep(0)  # the loop hears that the connection was closed
        assert list(await publisher.publish(messages(b"after"))) == [None]


@pytest.mark.server
async def test_a_full_server_is_reported_and_used_again_when_it_has_room(private_server: RedisServer) -> None:
    async with publishing(private_server.url) as publisher:
        await publisher.publish(messages(b"before"))
        private_server.config_set("maxmemory", 1)
        assert [str(answer) for answer in await publisher.publish(messages(b"full"))] == ["OutOfMemoryError"]
        assert (await publisher.memory()).share > 1
        private_server.config_set("maxmemory", 0)
        assert list(await publisher.publish(messages(b"after"))) == [None]
        with private_server.client() as redis:
            assert bodies(redis) == [b"before", b"after"]


@asynccontextmanager
async def _answering(most: int, then: Callable[[], Awaitable[Any]] | None = None) -> AsyncIterator[str]:
    """A server that replies to `most` XADDs of a connection. At the next it closes the connection, or awaits `then`."""

    async def serve(stream: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        commands, added = ReplyReader(), 0
        while data := await stream.read(65536):
            commands.feed(data)
            while command := commands.gets():
                added += command[0] == b"XADD"
                if added > most:
                    if then is None:
                        writer.close()
                        return
                    await then()
                writer.write(b"+OK\r\n")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0"


@pytest.mark.server
async def test_replies_to_a_cancelled_batch_are_not_taken_for_replies_to_the_next(
    private_server: RedisServer,
) -> None:
    async with publishing(private_server.url) as publisher:
        await publisher.publish(messages(b"before"))
        private_server.pause()
        cancelled = asyncio.create_task(publisher.publish(messages(b"cancelled")))
        for _ in range(10):
            await asyncio.sleep(0)  # runs it until it waits for the reply: no time passes
        cancelled.cancel()
        with pytest.raises(asyncio.CancelledError):
            await cancelled
        private_server.resume()
        private_server.config_set("maxmemory", 1)
        (answer,) = await publisher.publish(messages(b"refused"))
    assert isinstance(answer, NotStored)


@pytest.mark.server
async def test_a_batch_that_too_few_replicas_have_is_not_stored(replica_pair: ReplicaPair) -> None:
    publisher = open_async_publisher(replica_pair.url, PATIENCE, prefix="p", queues=(), replicas=1)
    assert list(await publisher.publish(messages(b"1", b"2"))) == [None, None]
    await publisher.close()
    publisher = open_async_publisher(replica_pair.url, SECONDS, prefix="p", queues=(), replicas=1)
    replica_pair.replica.kill()
    for _ in range(2):  # the connection is still in step
        assert [str(answer) for answer in await publisher.publish(messages(b"3", b"4"))] == ["replicas"] * 2
    with replica_pair.primary.client() as primary:  # the entries are stored, and the answer of WAIT is lost
        waiting = asyncio.create_task(publisher.publish(messages(b"6")))
        await eventually(lambda: primary.info("clients")["blocked_clients"], what="WAIT")
        replica_pair.proxy.cut()
    assert [type(answer) for answer in await waiting] == [NotStored]
    replica_pair.replica.start()
    follow(replica_pair.replica, replica_pair.primary)

    async def stored() -> bool:
        return list(await publisher.publish(messages(b"5"))) == [None]

    await eventually(stored, what="a batch to be stored again")
    await publisher.close()
