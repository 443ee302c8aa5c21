"""Every transport that the settings allow carries a message to a real server and back."""

import ssl
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, Final

import pytest
from kombu.entity import Queue

from shared.brokers.factory import open_connection, open_publisher
from shared.messaging.engine import engine_of
from shared.messaging.message import Message
from shared.redis_servers.clients import open_client
from shared.server_urls import TRANSPORTS, fault_of
from tests.support.proxies import Proxy
from tests.support.servers import RedisServer

pytestmark = pytest.mark.server
PATIENCE: Final = 60.0
QUEUE: Final = "p.decisions"
THROUGH_SENTINELS: Final = {"redis+sentinel", "rediss+sentinel"}
"""`test_sentinel.py` is about these."""

Ask = pytest.FixtureRequest


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1 that signs itself; its key is beside it."""
    path = tmp_path_factory.mktemp("tls") / "certificate.pem"
    request = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost"]
    files = ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", f"{path}.key", "-out", str(path)]
    subprocess.run(request + files, check=True, capture_output=True)
    return path


@pytest.fixture
def tls(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """The TLS of a server on 127.0.0.1, which this process trusts."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, f"{certificate}.key")
    return context


def port_of(url: str) -> int:
    return int(url.rpartition(":")[2].partition("/")[0])


def redis(ask: Ask) -> str:
    server: RedisServer = ask.getfixturevalue("private_server")
    return server.url


def unix(ask: Ask) -> str:
    server: RedisServer = ask.getfixturevalue("private_server")
    return server.unix_url


def rabbit(ask: Ask) -> str:
    url: str = ask.getfixturevalue("rabbit_url")
    return url


def through_tls(ask: Ask, url: str) -> str:
    """The URL of a proxy that adds TLS to this server."""
    stack: ExitStack = ask.getfixturevalue("stack")
    proxy = stack.enter_context(Proxy(port_of(url), ask.getfixturevalue("tls")))
    return url.replace("://", "s://", 1).replace(f":{port_of(url)}", f":{proxy.port}", 1)


URLS: Final[dict[str, Callable[[Ask], str]]] = {
    "redis": redis,
    "rediss": lambda ask: through_tls(ask, redis(ask)),
    "unix": unix,
    "amqp": rabbit,
    "amqps": lambda ask: through_tls(ask, rabbit(ask)),
    "pyamqp": lambda ask: rabbit(ask).replace("amqp://", "pyamqp://", 1),
    "stock+redis": lambda ask: f"stock+{redis(ask)}",
}


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.mark.parametrize("scheme", URLS)
def test_a_message_goes_to_the_broker_and_comes_back(scheme: str, request: Ask) -> None:
    url = URLS[scheme](request)
    assert fault_of(url) == ""
    with closing(open_publisher(url, PATIENCE, prefix="p", queues=("decisions",))) as publisher:
        publisher.publish([Message(QUEUE, b'{"a": 1}', "application/json", {"id": "1"})])
    assert received(url) == b'{"a": 1}'


def test_every_transport_that_is_allowed_is_tested() -> None:
    assert URLS.keys() | THROUGH_SENTINELS == TRANSPORTS


def received(url: str) -> bytes:
    """The one message, read as a consumer of that broker reads it."""
    if engine_of(url) == "streams":
        with open_client(url, PATIENCE, PATIENCE) as client:
            entries: Any = client.xrange(QUEUE)
        return bytes(entries[0][1][b"body"])
    with open_connection(url) as connection, connection.SimpleQueue(Queue(QUEUE, no_declare=True)) as queue:
        body: Any = queue.get(timeout=PATIENCE).body
    return bytes(body) if isinstance(body, bytes | memoryview) else str(body).encode()
