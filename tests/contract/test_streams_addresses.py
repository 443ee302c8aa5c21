"""Every way to name the server, and what a connection shows of it."""

import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kombu.connection import Connection
from redis.exceptions import ConnectionError as RedisConnectionError

from deploy.local.ports import free_port
from shared.brokers.factory import open_async_publisher
from shared.messaging.message import Message
from shared.messaging.publisher import NotStored
from tests.support.proxies import Proxy
from tests.support.servers import RedisServer
from tests.support.stream_clients import Reader, connect, publish

pytestmark = pytest.mark.server

ONCE: Any = {"max_retries": 1, "interval_start": 0, "interval_step": 0, "reraise_as_library_errors": False}


def assert_carries_a_message(connection: Connection) -> None:
    with connection:
        publish(connection, "q", {"n": 1})
        consumer = Reader(connection, "q")
        consumer.receive(1)[0].ack()
        assert consumer.bodies == [{"n": 1}]
        consumer.channel.flush()
        assert connection.default_channel._size("q") == 0


async def assert_takes_a_post(url: str) -> None:
    publisher = open_async_publisher(url, 5.0, prefix="p", queues=())
    assert list(await publisher.publish([Message("q", b"x", "", {})])) == [None]
    assert await publisher.depths(["q"]) == [1]
    await publisher.close()


def test_a_unix_socket(private_server: RedisServer) -> None:
    assert_carries_a_message(connect(private_server.unix_url))


def test_single_fields_instead_of_a_url(redis_server: RedisServer, redis_url: str) -> None:
    connection = Connection(
        "127.0.0.1", port=redis_server.port, virtual_host="/2", transport="shared.streams:Transport"
    )
    assert_carries_a_message(connection)
    with redis_server.client() as redis:
        redis.select(2)
        assert redis.exists("q")


def test_a_password_is_used_and_not_shown(private_server: RedisServer) -> None:
    private_server.config_set("requirepass", "s3cret/@")
    with connect(f"redis://:s3cret%2F%40@127.0.0.1:{private_server.port}/0") as connection:
        assert "s3cret" not in repr(connection)
        assert "s3cret" not in connection.as_uri()
        assert_carries_a_message(connection.clone())
    with pytest.raises(RedisConnectionError):
        connect(private_server.url).ensure_connection(**ONCE)


def test_a_server_that_is_away_is_a_connection_error() -> None:
    with connect(f"redis://127.0.0.1:{free_port()}/0") as connection, pytest.raises(connection.connection_errors):
        connection.ensure_connection(**ONCE)


def test_a_second_url_is_refused(redis_url: str) -> None:
    with pytest.raises(ValueError, match="one broker URL"):
        connect(f"{redis_url};{redis_url}").ensure_connection(**ONCE)


@pytest.fixture
def tls_port(redis_server: RedisServer, certificate: Path) -> Iterator[int]:
    """The shared server behind TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with redis_server.client() as client:
        client.flushall()
    with Proxy(redis_server.port, context) as proxy:
        yield proxy.port


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1 that signs itself, with its key."""
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    request = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost"]
    files = ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(path), "-out", f"{path}.crt"]
    subprocess.run(request + files, check=True, capture_output=True)
    with path.open("a") as pem:
        pem.write(Path(f"{path}.crt").read_text())
    return path


def test_tls_with_a_known_certificate(tls_port: int, certificate: Path) -> None:
    assert_carries_a_message(connect(f"rediss://127.0.0.1:{tls_port}/0?ssl_ca_certs={certificate}"))


@pytest.mark.parametrize("level", ["none", "CERT_NONE"])
def test_tls_with_an_unknown_certificate_when_told_to(tls_port: int, level: str) -> None:
    assert_carries_a_message(connect(f"rediss://127.0.0.1:{tls_port}/0?ssl_cert_reqs={level}"))


def test_tls_with_an_unknown_certificate_is_refused_otherwise(tls_port: int) -> None:
    with pytest.raises(RedisConnectionError, match="certificate"):
        connect(f"rediss://127.0.0.1:{tls_port}/0").ensure_connection(**ONCE)


def test_tls_with_the_options_of_celery(tls_port: int, certificate: Path) -> None:
    options = {"ssl_ca_certs": str(certificate), "ssl_cert_reqs": ssl.CERT_REQUIRED}
    connection = Connection(f"redis://127.0.0.1:{tls_port}/0", transport="shared.streams:Transport", ssl=options)
    assert_carries_a_message(connection)


async def test_an_async_publisher_reaches_a_unix_socket(private_server: RedisServer) -> None:
    await assert_takes_a_post(private_server.unix_url)


async def test_an_async_publisher_uses_the_password_of_the_url(private_server: RedisServer) -> None:
    private_server.config_set("requirepass", "s3cret/@")
    await assert_takes_a_post(f"redis://:s3cret%2F%40@127.0.0.1:{private_server.port}/1")


@pytest.mark.parametrize("trust", ["ssl_ca_certs={}", "ssl_cert_reqs=none", "ssl_cert_reqs=CERT_NONE"])
async def test_an_async_publisher_speaks_tls(tls_port: int, certificate: Path, trust: str) -> None:
    await assert_takes_a_post(f"rediss://127.0.0.1:{tls_port}/0?{trust.format(certificate)}")


async def test_an_async_publisher_refuses_an_unknown_certificate(tls_port: int) -> None:
    publisher = open_async_publisher(f"rediss://127.0.0.1:{tls_port}/0", 5.0, prefix="p", queues=())
    assert [type(answer) for answer in await publisher.publish([Message("q", b"x", "", {})])] == [NotStored]
    await publisher.close()
