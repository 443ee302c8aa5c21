"""Clients find the primary through Sentinels, and the new one after a failover."""

from contextlib import closing

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from shared.brokers.factory import open_async_publisher
from shared.ledger.redis_client import open_redis
from shared.messaging.errors import BrokerUnavailable
from shared.messaging.message import Message
from shared.redis_servers.clients import open_client
from tests.support.places import Place, receive
from tests.support.redis_clients import CLOSED_PORT
from tests.support.sentinels import NAME, PASSWORD, SentinelSetup
from tests.support.waiting import eventually, until
from workers.runtime.settlement import Settlement

pytestmark = pytest.mark.server
SECONDS = 60.0
MESSAGE = Message("faceid.callbacks", b"x", "text/plain", {})


async def test_every_client_follows_a_failover(sentinels: SentinelSetup) -> None:
    publisher = open_async_publisher(sentinels.url, SECONDS, prefix="faceid", queues=())
    with closing(Place(sentinels.url, sentinels.url, sentinels.url)) as place:
        async with open_redis(sentinels.url, socket_timeout=SECONDS) as ledger:
            source = place.source()
            await ledger.set("key", 1)
            assert list(await publisher.publish([MESSAGE])) == [None]
            [delivery] = receive(source)
            with sentinels.primary.client() as primary:
                primary.wait(1, int(SECONDS * 1000))
            sentinels.fail_over()

            async def stored() -> bool:
                return list(await publisher.publish([MESSAGE])) == [None]

            async def written() -> bool:
                try:
                    return bool(await ledger.set("key", 2))
                except RedisError:
                    return False

            def settled() -> bool:
                try:
                    source.settle([Settlement(delivery.tag, results=(Message("faceid.decisions", b"made", "", {}),))])
                except BrokerUnavailable:
                    return False
                return True

            await eventually(stored, what="the ingress's publisher")
            await eventually(written, what="the ledger")
            until(settled, what="the pump")
        with sentinels.primary.client() as primary:
            assert primary.get("key") == b"2"
            assert primary.xlen("faceid.decisions") == 1
    await publisher.close()


def test_the_users_password_and_the_sentinels_are_both_used(sentinels: SentinelSetup) -> None:
    for server in (sentinels.primary, sentinels.replica):
        with server.client() as admin:
            admin.execute_command("ACL", "SETUSER", "app", "on", ">p@ss/word", "~*", "+@all")
    with open_client(sentinels.url.replace("://", "://app:p%40ss%2Fword@"), SECONDS, SECONDS) as redis:
        assert redis.acl_whoami() in ("app", b"app")
    with open_client(sentinels.url.replace(PASSWORD, "wrong"), SECONDS, SECONDS) as redis:
        with pytest.raises(RedisConnectionError, match=f"a primary named {NAME}") as error:
            redis.ping()
        assert "wrong" not in str(error.value)


def test_dead_sentinels_are_passed_over(sentinels: SentinelSetup) -> None:
    url = sentinels.url.replace("://", f"://127.0.0.1:{CLOSED_PORT},")
    for _ in range(4):  # each asks another Sentinel first
        with open_client(url, SECONDS, SECONDS) as redis:
            assert redis.ping()


def test_an_unknown_name_is_a_connection_error_that_says_so(sentinels: SentinelSetup) -> None:
    with (
        open_client(sentinels.url.replace(f"/{NAME}/", "/other/"), SECONDS, SECONDS) as redis,
        pytest.raises(RedisConnectionError, match="no Sentinel answers with a primary named other"),
    ):
        redis.ping()
