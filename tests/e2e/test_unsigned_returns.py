"""Anybody can send GET returns. What they cost is bounded, and it stops nobody else."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.biz_ids import biz_id
from tests.support.ingress_process import RETURN, IngressProcess, ingress_process, statuses
from tests.support.servers import RedisServer

pytestmark = pytest.mark.server

REDIS_BYTES = 24_000_000
BATCH = 500


@pytest.fixture
def ingress(private_server: RedisServer, tmp_path: Path) -> Iterator[IngressProcess]:
    """An ingress with a small Redis and no workers."""
    private_server.config_set("appendfsync", "no")
    private_server.config_set("maxmemory", REDIS_BYTES)
    with ingress_process(private_server.url, tmp_path, {"FACEID_MAX_BACKLOG": "10000"}) as running:
        yield running


def send_returns(ingress: IngressProcess, first: int) -> None:
    """Send a batch of GET returns with long queries. Each is redirected or gets the page, stored or not."""
    answers = b""
    with ingress.connect() as connection:
        for number in range(first, first + BATCH):
            query = f"biz_id={biz_id(number)}&padding=".ljust(2000, "x")
            connection.sendall(f"GET {RETURN}?{query} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
            while answers.count(b"</p>\n") <= number - first:
                part = connection.recv(65536)
                assert part
                answers += part
    assert statuses(answers) == [200] * BATCH


def test_a_flood_of_get_returns_raises_a_503_for_nobody(ingress: IngressProcess) -> None:
    sent = 0
    while not ingress.metric('faceid_unstored_total{channel="return"}') or sent < 10 * BATCH:
        send_returns(ingress, sent)
        assert ingress.post() == 200
        sent += BATCH
    assert [ingress.post() for _ in range(50)] == [200] * 50
    assert ingress.redis.info("memory")["used_memory"] < 0.5 * REDIS_BYTES
    lines = ingress.program.log_file.read_text().splitlines()
    assert sum("callback.not_stored" in line for line in lines) < 10
