"""URLs are compared by the server that answers, and servers that can't be used are refused."""

from collections.abc import Iterator

import pytest

from shared.brokers.servers import check_server, name_each_server_once, wait_for_servers
from shared.redis_servers.identity import ServerId, UnsuitableServer, identify
from shared.settings import Settings, SettingsError, load_settings
from tests.support.redis_clients import CLOSED_PORT
from tests.support.servers import RedisServer, new_cluster_node

pytestmark = pytest.mark.server
AWAY = f"redis://127.0.0.1:{CLOSED_PORT}/0"


@pytest.fixture
def cluster_node(redis_server: RedisServer) -> Iterator[RedisServer]:
    server = new_cluster_node().start()
    yield server
    server.stop()


def urls(settings: Settings) -> tuple[str, str, str]:
    return settings.redis_url, settings.broker_url, settings.results_url


def test_one_server_by_three_names_becomes_one_url(private_server: RedisServer) -> None:
    url = private_server.url
    named = load_settings(
        redis_url=url, broker_url=f"redis://localhost:{private_server.port}", results_url=private_server.unix_url
    )
    assert urls(name_each_server_once(named)) == (url, url, url)


def test_another_database_and_another_server_keep_their_urls(redis_url: str, private_server: RedisServer) -> None:
    other_database = redis_url.replace("/0", "/1")
    settings = load_settings(redis_url=redis_url, broker_url=other_database, results_url=private_server.url)
    assert urls(name_each_server_once(settings)) == urls(settings)


def test_a_rabbitmq_url_is_not_asked(redis_url: str) -> None:
    settings = load_settings(redis_url=redis_url, broker_url="amqp://127.0.0.1:1")
    assert urls(name_each_server_once(settings)) == urls(settings)


def test_where_info_is_forbidden_the_texts_are_compared(private_server: RedisServer) -> None:
    with private_server.client() as redis:
        redis.execute_command("ACL", "SETUSER", "default", "-info")
    settings = load_settings(
        redis_url=private_server.url, broker_url=f"redis://localhost:{private_server.port}", results_url=AWAY
    )
    assert identify(private_server.url) is None
    assert urls(name_each_server_once(settings.model_copy(update={"results_url": private_server.url}))) == (
        private_server.url,
        settings.broker_url,
        private_server.url,
    )


def test_a_worker_waits_for_servers_that_it_has_to_compare(private_server: RedisServer) -> None:
    settings = load_settings(
        redis_url=private_server.url, broker_url=f"redis://localhost:{private_server.port}", results_url=""
    )
    private_server.kill()
    pauses: list[float] = []

    def start_at_the_second_pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 2:
            private_server.start()

    assert len(set(urls(wait_for_servers(settings, start_at_the_second_pause)))) == 1
    assert len(pauses) == 2


def test_a_single_url_that_is_away_is_not_waited_for() -> None:
    settings = load_settings(redis_url=AWAY)
    assert wait_for_servers(settings, lambda _: pytest.fail("it waits")) == settings


def test_a_node_of_a_redis_cluster_is_refused_by_name(cluster_node: RedisServer) -> None:
    with pytest.raises(UnsuitableServer, match="cluster_enabled:1"):
        identify(cluster_node.url)
    with pytest.raises(SettingsError) as error:
        check_server(load_settings(redis_url=cluster_node.url), "broker_url")
    [fault] = error.value.faults
    assert fault.startswith("FACEID_BROKER_URL: is a Redis Cluster")


def test_the_id_of_a_server_holds_its_run_and_its_database(redis_server: RedisServer, redis_url: str) -> None:
    with redis_server.client() as redis:
        run_id = redis.info("server")["run_id"]
    assert identify(redis_url.replace("/0", "/3")) == ServerId(run_id, 3)
