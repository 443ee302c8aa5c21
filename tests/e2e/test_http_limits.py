"""The limits of the public listener, over real sockets against a real ingress."""

import json
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.ingress_process import (
    NOTIFY,
    RETURN,
    IngressProcess,
    ingress_process,
    post,
    read_all,
    send_all,
    status,
    statuses,
)
from tests.support.servers import RedisServer
from tests.support.waiting import until

pytestmark = pytest.mark.server

MIB = 1024 * 1024
HEAD = f"POST {NOTIFY} HTTP/1.1\r\nhost: x\r\n".encode()


@pytest.fixture(scope="module")
def shared_ingress(redis_server: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[IngressProcess]:
    settings = {"FACEID_REQUEST_SECONDS": "2"}
    with ingress_process(redis_server.url, tmp_path_factory.mktemp("limits"), settings) as running:
        yield running


@pytest.fixture
def ingress(shared_ingress: IngressProcess) -> IngressProcess:
    """An ingress with nothing stored. A request may take 2 s."""
    shared_ingress.redis.flushall()
    return shared_ingress


@pytest.fixture
def refused(ingress: IngressProcess) -> Callable[[str], float]:
    """How many requests of a kind were refused since the test began."""
    before: dict[str, float] = {}

    def sample(kind: str) -> float:
        return ingress.metric(f'faceid_refusals_total{{kind="{kind}"}}')

    for kind in ("headers", "url", "timeout", "malformed"):
        before[kind] = sample(kind)
    return lambda kind: sample(kind) - before[kind]


# Headers and the query


def test_headers_over_8_kib_are_431_and_nothing_is_stored(
    ingress: IngressProcess, refused: Callable[[str], float]
) -> None:
    large = ingress.send(post(b"x", "content-type: " + "a" * (20 * MIB)))
    assert status(large) == 431
    assert b"connection: close" in large
    assert status(ingress.send(post(b"x", "content-type: " + "a" * 8193))) == 431
    assert status(ingress.send(post(b"x", *(f"x-{number}: 1" for number in range(1000))))) == 431
    assert ingress.stored() == []
    assert refused("headers") == 3


def test_headers_of_8_kib_are_stored(ingress: IngressProcess) -> None:
    assert status(ingress.send(post(b"x", "connection: close", "x: " + "a" * 8100))) == 200
    assert len(ingress.stored()) == 1


def test_a_header_of_300_mb_takes_a_bounded_memory(ingress: IngressProcess) -> None:
    before = ingress.rss()
    with ingress.connect() as connection:
        send_all(connection, HEAD + b"x: ")
        for _ in range(300):
            send_all(connection, b"a" * MIB)
        assert status(read_all(connection)) == 431
    assert ingress.rss() - before < 10 * MIB


def test_a_trailer_of_300_mb_takes_a_bounded_memory(ingress: IngressProcess) -> None:
    before = ingress.rss()
    with ingress.connect() as connection:
        send_all(connection, HEAD + b"transfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\nx: ")
        for _ in range(300):
            send_all(connection, b"a" * MIB)
        assert status(read_all(connection)) == 413
    assert ingress.rss() - before < 10 * MIB
    assert ingress.stored() == []


@pytest.mark.parametrize("length", [2049, 60_000])
def test_a_query_over_2048_bytes_is_414(ingress: IngressProcess, refused: Callable[[str], float], length: int) -> None:
    query = "biz_id=".ljust(length, "a")
    request = f"GET {RETURN}?{query} HTTP/1.1\r\nhost: x\r\n\r\n".encode()
    assert status(ingress.send(request)) == 414
    assert status(ingress.send(post(b"x", path=f"{NOTIFY}?{query}"))) == 414
    assert ingress.stored() == []
    assert refused("url") == 2


def test_a_query_of_2048_bytes_is_stored(ingress: IngressProcess) -> None:
    assert status(ingress.send(post(b"x", "connection: close", path=f"{NOTIFY}?{'a' * 2048}"))) == 200
    assert len(ingress.stored()) == 1


# Time


def test_a_body_that_comes_byte_by_byte_is_408(ingress: IngressProcess, refused: Callable[[str], float]) -> None:
    with ingress.connect() as connection:
        send_all(connection, HEAD + b"content-length: 100000\r\n\r\n")
        connection.settimeout(0.05)
        answer = b""
        deadline = time.monotonic() + 100
        while not answer and time.monotonic() < deadline:
            send_all(connection, b"a")
            try:
                answer = connection.recv(1000)
            except TimeoutError:
                continue
    assert status(answer) == 408
    assert b"connection: close" in answer
    assert ingress.stored() == []
    assert refused("timeout") == 1


def test_headers_that_do_not_end_are_408(ingress: IngressProcess) -> None:
    assert status(ingress.send(HEAD)) == 408


def test_a_second_request_that_is_not_complete_is_408(ingress: IngressProcess) -> None:
    assert statuses(ingress.send(post(b"one") + HEAD)) == [200, 408]
    assert ingress.bodies() == [b"one"]


def test_a_connection_that_sends_nothing_is_closed_without_an_answer(ingress: IngressProcess) -> None:
    assert ingress.send(b"") == b""


def test_empty_lines_do_not_keep_a_connection_open(ingress: IngressProcess) -> None:
    with ingress.connect() as connection:
        send_all(connection, post(b"one"))
        connection.settimeout(0.05)
        closed, deadline = False, time.monotonic() + 100
        while not closed and time.monotonic() < deadline:
            send_all(connection, b"\r\n")
            try:
                closed = connection.recv(1000) == b""
            except TimeoutError:
                continue
            except ConnectionResetError:
                closed = True
    assert closed


# Connections


@pytest.mark.parametrize("opening", [b"", HEAD, HEAD + b"content-length: 1000\r\n\r\nabc"])
def test_unfinished_connections_up_to_the_limit_of_files_keep_nobody_out(
    redis_url: str, tmp_path: Path, opening: bytes
) -> None:
    with ingress_process(redis_url, tmp_path, {"FACEID_REQUEST_SECONDS": "600"}, open_files=256) as ingress:
        waiting = []
        try:
            for _ in range(300):
                connection = ingress.connect()
                send_all(connection, opening)
                waiting.append(connection)
            assert [ingress.post() for _ in range(20)] == [200] * 20
            assert len(ingress.stored()) == 20
            until(lambda: ingress.metric("faceid_open_connections") <= 192, of=[ingress.program])
            assert ingress.metric('faceid_refusals_total{kind="connections"}') >= 100
            assert read_all(waiting[0]) == b""  # the oldest
        finally:
            for connection in waiting:
                connection.close()


def test_what_is_refused_is_logged_once_a_minute_for_each_kind(redis_url: str, tmp_path: Path) -> None:
    with ingress_process(redis_url, tmp_path) as ingress:
        for _ in range(5):
            ingress.send(post(b"x", "x: " + "a" * 9000))
            ingress.send(b"rubbish\r\n\r\n")
            ingress.send(post(b"x", "connection: close", path="/callbacks/nobody/notify"))
        lines = [json.loads(line) for line in ingress.program.log_file.read_text().splitlines()]
    refused = [(line["kind"], line["status"], line["count"]) for line in lines if line["event"] == "request.refused"]
    assert refused == [("headers", 431, 1), ("malformed", 400, 1), ("not_found", 404, 1)]


# One request after the other on a connection


def test_a_good_request_before_rubbish_is_answered_200_and_then_the_rubbish_400(
    ingress: IngressProcess, refused: Callable[[str], float]
) -> None:
    assert statuses(ingress.send(post(b"good") + b"rubbish\r\n\r\n")) == [200, 400]
    assert ingress.bodies() == [b"good"]
    assert refused("malformed") == 1


def test_requests_before_a_refused_one_are_all_answered_in_order(ingress: IngressProcess) -> None:
    many = b"".join(post(b"number %d" % number) for number in range(8))
    assert statuses(ingress.send(many + post(b"x", "x: " + "a" * 9000))) == [200] * 8 + [431]
    assert ingress.bodies() == [b"number %d" % number for number in range(8)]


def test_many_requests_at_once_on_one_connection_are_answered_one_after_the_other(ingress: IngressProcess) -> None:
    many = b"".join(post(b"a" * 1200) for _ in range(500))
    with ingress.connect() as connection:
        connection.sendall(many)
        answers = b""
        while answers.count(b"HTTP/1.1 200") < 500:
            part = connection.recv(65536)
            assert part, answers[-1000:]
            answers += part
    assert len(ingress.stored()) == 500


def test_tiny_requests_at_once_take_a_bounded_memory(ingress: IngressProcess) -> None:
    before = ingress.rss()
    answers = ingress.send(b"GET / HTTP/1.1\r\n\r\n" * 500_000)
    assert len(statuses(answers)) < 500
    assert statuses(answers)[-1] == 503
    assert ingress.rss() - before < 10 * MIB


# Upgrades


@pytest.mark.parametrize(
    "headers",
    [
        ("connection: Upgrade, HTTP2-Settings", "upgrade: h2c", "http2-settings: AAMAAABkAAQCAAAAAAIAAAAA"),
        ("connection: Upgrade", "upgrade: websocket", "sec-websocket-key: AQIDBAUGBwgJCgsMDQ4PEA=="),
        ("connection: keep-alive, upgrade", "upgrade: TLS/1.0, something/2"),
    ],
)
def test_an_upgrade_is_ignored_and_the_body_is_stored(ingress: IngressProcess, headers: tuple[str, ...]) -> None:
    requests = post(b"data=one", *headers) + post(b"data=two", *headers) + post(b"data=three", "connection: close")
    assert statuses(ingress.send(requests)) == [200] * 3
    assert ingress.bodies() == [b"data=one", b"data=two", b"data=three"]


def test_an_upgrade_whose_body_comes_later_is_stored(ingress: IngressProcess) -> None:
    request = post(b"data=" + b"x" * 100_000, "connection: upgrade", "upgrade: h2c")
    with ingress.connect() as connection:
        for start in range(0, len(request), 997):
            connection.sendall(request[start : start + 997])
        assert status(connection.recv(1000)) == 200
    assert ingress.bodies() == [b"data=" + b"x" * 100_000]


def test_a_chunked_upgrade_is_stored(ingress: IngressProcess) -> None:
    head = HEAD + b"connection: upgrade, close\r\nupgrade: h2c\r\ntransfer-encoding: chunked\r\n\r\n"
    assert statuses(ingress.send(head + b"5\r\ndata=\r\n3\r\none\r\n0\r\n\r\n")) == [200]
    assert ingress.bodies() == [b"data=one"]


def test_connect_is_refused(ingress: IngressProcess) -> None:
    assert status(ingress.send(b"CONNECT x:443 HTTP/1.1\r\nhost: x\r\n\r\n")) == 400


def test_after_a_large_body_that_is_refused_unread_the_connection_goes_on(tmp_path: Path) -> None:
    """Redis has so little memory that a body of 200,000 bytes is refused, and a small one is not."""
    server = RedisServer().start()
    with ingress_process(server.url, tmp_path) as ingress:
        ingress.redis.config_set("maxmemory", int(ingress.redis.info("memory")["used_memory"] * 2.3))

        def large_is_refused() -> bool:
            ingress.redis.delete("faceid.callbacks")  # so that the ingress refuses, and not Redis
            return ingress.post(b"x" * 200_000) == 503

        until(large_is_refused)
        until(lambda: ingress.post() == 200)
        answers = ingress.send(post(b"x" * 200_000) + post(b"data=1&sign=2", "connection: close"))
        assert statuses(answers) == [503, 200]
        assert ingress.bodies() == [b"data=1&sign=2"] * 2
    server.stop()


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl on this machine")
def test_curl_with_http2_is_stored(ingress: IngressProcess) -> None:
    url = f"http://127.0.0.1:{ingress.port}{NOTIFY}"
    ran = subprocess.run(
        ["curl", "--silent", "--http2", "--write-out", "%{http_code}", "--data", "data=1&sign=2", url],
        capture_output=True,
        timeout=100,
        check=False,
    )
    assert ran.stdout.endswith(b"200")
    assert ingress.bodies() == [b"data=1&sign=2"]


def test_a_stop_answers_what_has_arrived(redis_url: str, tmp_path: Path) -> None:
    with ingress_process(redis_url, tmp_path) as ingress, ingress.connect() as idle, ingress.connect() as busy:
        idle.sendall(post(b"one"))
        assert status(idle.recv(1000)) == 200
        busy.sendall(HEAD + b"expect: 100-continue\r\ncontent-length: 4\r\n\r\nda")
        assert status(busy.recv(1000)) == 100  # so it has arrived
        ingress.program.send(signal.SIGTERM)
        read_all(idle)
        busy.sendall(b"ta")
        assert statuses(read_all(busy)) == [200]
        until(lambda: ingress.program.exit_code is not None)
        assert ingress.program.logged("ingress.stopped")
        assert sorted(ingress.bodies()) == [b"data", b"one"]
