"""Probes and metrics of a real ingress: on the admin listener alone, and from what was measured last."""

import http.client
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from deploy.local.stack import Stack
from tests.support.servers import RedisServer
from tests.support.stacks import new_stack
from tests.support.waiting import until

pytestmark = pytest.mark.server


@pytest.fixture
def stack(private_server: RedisServer, tmp_path: Path) -> Iterator[Stack]:
    with new_stack(tmp_path, redis_url=private_server.url, worker_stages=()).running() as stack:
        yield stack


def get(url: str, path: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def test_probes_and_metrics_are_on_the_admin_listener_alone(stack: Stack) -> None:
    until(lambda: get(stack.admin_url, "/readyz") == (200, "ready\n"), of=[stack.ingress])
    assert get(stack.admin_url, "/livez") == (200, "alive\n")
    assert "faceid_backlog 0.0" in get(stack.admin_url, "/metrics")[1]
    assert [get(stack.ingress_url, path)[0] for path in ("/livez", "/readyz", "/metrics")] == [404] * 3
    assert get(stack.ingress_url, "/healthz") == (200, "ok\n")


def test_an_ingress_whose_redis_hangs_is_alive_and_not_ready(stack: Stack, private_server: RedisServer) -> None:
    until(lambda: get(stack.admin_url, "/readyz")[0] == 200, of=[stack.ingress])
    private_server.pause()
    try:
        until(lambda: get(stack.admin_url, "/readyz")[0] == 503, of=[stack.ingress])
        assert get(stack.admin_url, "/livez")[0] == 200
    finally:
        private_server.resume()
    until(lambda: get(stack.admin_url, "/readyz")[0] == 200, of=[stack.ingress])


def test_two_ingresses_that_share_an_admin_address_both_receive_callbacks(
    stack: Stack, private_server: RedisServer, tmp_path: Path
) -> None:
    shared = {"FACEID_ADMIN_LISTEN": urlsplit(stack.admin_url).netloc}
    second = new_stack(tmp_path / "second", redis_url=private_server.url, worker_stages=(), settings=shared)
    with second.running():
        until(lambda: second.ingress.logged("admin.not_listening"), of=[second.ingress])
        assert get(second.ingress_url, "/healthz")[0] == 200
        stack.ingress.stop()
        until(lambda: second.ingress.logged("admin.listening"), of=[second.ingress])
        assert get(stack.admin_url, "/livez")[0] == 200
