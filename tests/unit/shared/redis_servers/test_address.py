"""URLs of a Redis and of its Sentinels."""

import pytest
from redis.connection import SSLConnection

from shared.messaging.engine import engine_of
from shared.redis_servers.address import connection_options
from shared.redis_servers.pools import new_async_pool, new_pool


def test_a_sentinel_url_names_sentinels_primary_and_database() -> None:
    options = connection_options("redis+sentinel://h1,h2:1234,[::1]:5/main/3?client_name=x")
    assert options == {
        "sentinels": [("h1", 26379), ("h2", 1234), ("::1", 5)],
        "service_name": "main",
        "sentinel_options": {},
        "db": 3,
        "client_name": "x",
    }


def test_user_and_password_are_the_servers_and_the_sentinels_have_their_own() -> None:
    url = "redis+sentinel://u:p%2Fw@h1/main?sentinel_username=su&sentinel_password=s%2Fp"
    options = connection_options(url)
    assert (options["username"], options["password"], options["db"]) == ("u", "p/w", 0)
    assert options["sentinel_options"] == {"username": "su", "password": "s/p"}
    assert not {"sentinel_username", "sentinel_password"} & options.keys()


def test_with_tls_the_sentinels_use_the_same_certificates() -> None:
    options = connection_options("rediss+sentinel://h1/main/0?ssl_ca_certs=/ca.pem")
    assert options["connection_class"] is SSLConnection
    assert options["sentinel_options"] == {"ssl_ca_certs": "/ca.pem"}


@pytest.mark.parametrize(
    "url",
    ["redis+sentinel://h1", "redis+sentinel://h1/", "redis+sentinel:///main", "redis+sentinel://h1/main/x", "http://h"],
)
def test_other_urls_are_refused(url: str) -> None:
    with pytest.raises(ValueError, match="must"):
        connection_options(url)


@pytest.mark.parametrize("make", [new_pool, new_async_pool])
@pytest.mark.parametrize("scheme", ["redis", "rediss"])
def test_a_pool_shows_no_password(make: object, scheme: str) -> None:
    url = f"{scheme}+sentinel://user:own-password@h1/main/0?sentinel_password=other-password"
    pool = make(connection_options(url))  # type: ignore[operator]
    assert "password" not in repr(pool).replace("password=<REDACTED>", "")
    assert "password" not in repr(pool.sentinel_manager.sentinels).replace("password=<REDACTED>", "")


def test_the_engine_of_sentinels_is_streams() -> None:
    assert engine_of("redis+sentinel://h1/main/0") == engine_of("rediss+sentinel://h1/main/0") == "streams"
