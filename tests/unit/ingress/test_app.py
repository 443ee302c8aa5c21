"""The ASGI application of the ingress: what it stores, and each of its answers."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, cast
from urllib.parse import parse_qs, urlsplit

import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from ingress.app import Ingress
from ingress.http.refusals import Refusals
from ingress.store import Store
from shared.messaging.envelope import Envelope
from shared.messaging.publisher import NotStored

NOTIFY = "/callbacks/default/notify"
RETURN = "/callbacks/default/return"
SHOP = "https://shop.example/done?shop=7"
LIMIT = 2000
DISCONNECT: Any = object()


class FakeStore:
    """Keeps envelopes, or raises `NotStored` with `refusal`."""

    def __init__(self) -> None:
        self.stored: list[Envelope] = []
        self.checked: list[int] = []
        self.refusal = ""
        self.monitoring = asyncio.Event()
        self.monitoring_ended = False
        self.closed = False

    def check(self, size: int) -> None:
        self.checked.append(size)
        if self.refusal:
            raise NotStored(self.refusal)

    async def put(self, envelope: Envelope) -> None:
        if self.refusal:
            raise NotStored(self.refusal)
        self.stored.append(envelope)

    async def monitor(self) -> None:
        self.monitoring.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.monitoring_ended = True

    async def close(self) -> None:
        self.closed = True


@dataclass
class Answered:
    status: int
    headers: dict[str, str]
    body: bytes
    received: int
    """Parts of the request's body that were read."""


@dataclass
class Client:
    """Sends requests to the application, in process."""

    store: FakeStore
    app: Ingress
    sent: list[Any] = field(default_factory=list)

    async def request(
        self, method: str, path: str, *chunks: bytes, query: str = "", headers: Iterable[tuple[bytes, bytes]] = ()
    ) -> Answered:
        await self.send_request(method, path, chunks or (b"",), query, headers)
        start, body = self.sent
        assert start["type"] == "http.response.start"
        assert body["type"] == "http.response.body"
        assert not body.get("more_body")
        answer_headers = {name.decode(): value.decode("latin-1") for name, value in start["headers"]}
        assert len(answer_headers) == len(start["headers"])
        assert answer_headers["content-length"] == str(len(body["body"]))
        return Answered(start["status"], answer_headers, body["body"], self.received)

    async def send_request(
        self, method: str, path: str, chunks: Iterable[bytes], query: str, headers: Iterable[tuple[bytes, bytes]]
    ) -> None:
        scope = {"type": "http", "method": method, "path": path, "query_string": query.encode(), "headers": [*headers]}
        parts = [*chunks]
        self.sent, self.received = [], 0

        async def receive() -> dict[str, Any]:
            part = parts.pop(0)
            self.received += 1
            if part is DISCONNECT:
                return {"type": "http.disconnect"}
            return {"type": "http.request", "body": part, "more_body": bool(parts)}

        async def send(message: Any) -> None:
            self.sent.append(message)

        await self.app(scope, receive, send)


def metric(name: str, **labels: str) -> float:
    """The value of a metric; 0 when it has no sample yet."""
    return REGISTRY.get_sample_value(name, labels) or 0.0


def client(redirect_url: str = SHOP, max_body_bytes: int = LIMIT) -> Client:
    store, accounts = FakeStore(), frozenset({"default", "jakarta"})
    app = Ingress(cast("Store", store), accounts, redirect_url, max_body_bytes, Refusals(), lambda: 1234.5)
    return Client(store, app)


# Notify


async def test_a_notify_is_stored_whole_and_answered_with_200() -> None:
    http = client()
    answer = await http.request(
        "POST", NOTIFY, b"data=%7B%7D&sign=\xff\x00", query="a=1", headers=[(b"content-type", b"text/odd; x=\xe9")]
    )
    assert answer.status == 200
    (stored,) = http.store.stored
    assert (stored.body, stored.content_type, stored.query) == (b"data=%7B%7D&sign=\xff\x00", "text/odd; x=é", "a=1")
    assert (stored.account, stored.channel, stored.method) == ("default", "notify", "POST")
    assert (stored.received_at, stored.attempts, stored.biz_id) == (1234.5, 0, "")


async def test_a_body_in_chunks_is_put_together() -> None:
    http = client()
    assert (await http.request("POST", NOTIFY, b"da", b"", b"ta=", b"1")).status == 200
    assert http.store.stored[0].body == b"data=1"


async def test_a_body_without_a_content_type_is_stored() -> None:
    http = client()
    assert (await http.request("POST", NOTIFY, b"x")).status == 200
    assert http.store.stored[0].content_type == ""


async def test_each_callback_has_an_id_of_its_own() -> None:
    http = client()
    for _ in range(100):
        await http.request("POST", NOTIFY, b"the same")
    ids = {stored.id for stored in http.store.stored}
    assert len(ids) == 100
    assert {len(bytes.fromhex(one)) for one in ids} == {16}


async def test_each_account_has_its_own_path() -> None:
    http = client()
    await http.request("POST", "/callbacks/jakarta/notify", b"x")
    assert http.store.stored[0].account == "jakarta"


@pytest.mark.parametrize("refusal", ["backlog", "timeout", "OperationalError"])
async def test_a_notify_that_is_not_stored_is_answered_with_503_and_retry_after(refusal: str) -> None:
    http = client()
    http.store.refusal = refusal
    before = metric("faceid_unstored_total", channel="notify")
    answer = await http.request("POST", NOTIFY, b"x")
    assert answer.status == 503
    assert int(answer.headers["retry-after"]) > 0
    assert metric("faceid_unstored_total", channel="notify") == before + 1


async def test_callbacks_that_are_not_stored_are_logged_once_a_minute_for_each_cause() -> None:
    http = client()
    with capture_logs() as lines:
        for refusal in ("backlog", "backlog", "memory", "backlog"):
            http.store.refusal = refusal
            await http.request("POST", NOTIFY, b"x")
    assert [(line["event"], line["why"], line["count"]) for line in lines] == [
        ("callback.not_stored", "backlog", 1),
        ("callback.not_stored", "memory", 1),
    ]


# Return


async def test_a_posted_return_is_stored_and_redirected() -> None:
    http = client()
    answer = await http.request("POST", RETURN, b"data=1&sign=2", query="order=5")
    assert (answer.status, answer.headers["location"]) == (303, f"{SHOP}&order=5")
    assert answer.headers["cache-control"] == "no-store"
    assert (http.store.stored[0].channel, http.store.stored[0].method) == ("return", "POST")


async def test_a_return_by_get_is_stored_with_its_query() -> None:
    http = client()
    answer = await http.request("GET", RETURN, query="biz_id=1%2Ca")
    assert (answer.status, answer.headers["location"]) == (303, f"{SHOP}&biz_id=1%2Ca")
    stored = http.store.stored[0]
    assert (stored.method, stored.query, stored.body) == ("GET", "biz_id=1%2Ca", b"")


async def test_a_return_without_a_query_is_redirected_and_not_stored() -> None:
    http = client()
    answer = await http.request("GET", RETURN)
    assert (answer.status, answer.headers["location"]) == (303, SHOP)
    assert http.store.stored == []


async def test_without_a_redirect_url_a_return_gets_a_page() -> None:
    answer = await client(redirect_url="").request("GET", RETURN, query="biz_id=1")
    assert answer.status == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert b"finished" in answer.body


@pytest.mark.parametrize("redirect_url", [SHOP, ""])
async def test_a_return_that_is_not_stored_is_redirected_and_counted(redirect_url: str) -> None:
    http = client(redirect_url)
    expected = await http.request("GET", RETURN, query="biz_id=1")
    http.store.refusal = "backlog"
    before = metric("faceid_unstored_total", channel="return")
    answer = await http.request("GET", RETURN, query="biz_id=1")
    assert (answer.status, answer.headers, answer.body) == (expected.status, expected.headers, expected.body)
    assert metric("faceid_unstored_total", channel="return") == before + 1


@pytest.mark.parametrize("query", ["data=secret&sign=secret&a=1", "d%61ta=secret&SIGN=secret&a=1"])
async def test_data_and_sign_are_never_in_the_location(query: str) -> None:
    http = client()
    answer = await http.request("POST", RETURN, b"data=secret&sign=secret", query=query)
    assert parse_qs(urlsplit(answer.headers["location"]).query) == {"shop": ["7"], "a": ["1"]}
    assert "secret" not in str(answer.headers)
    assert http.store.stored[0].query == query


# Refusals


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/callbacks",
        "/callbacks/default",
        "/callbacks/default/",
        "/callbacks/default/other",
        "/callbacks/nobody/notify",
        "/callbacks/nobody/return",
        "/callbacks//notify",
        "/callbacks/default/notify/",
        "/CALLBACKS/default/notify",
        "/other/default/notify",
        "/metrics",
        "/readyz",
        "/livez",
        "/healthz/",
    ],
)
async def test_an_unknown_account_or_path_is_404(path: str) -> None:
    http = client()
    assert (await http.request("POST", path, b"x")).status == 404
    assert http.store.stored == []


@pytest.mark.parametrize(
    ("path", "allowed", "methods"),
    [
        (NOTIFY, "POST", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH"]),
        (RETURN, "POST, GET", ["HEAD", "PUT", "DELETE", "OPTIONS"]),
        ("/healthz", "GET, HEAD", ["POST", "PUT"]),
    ],
)
async def test_a_wrong_method_is_405_with_the_allowed_ones(path: str, allowed: str, methods: list[str]) -> None:
    http = client()
    for method in methods:
        answer = await http.request(method, path, b"x", query="biz_id=1")
        assert (answer.status, answer.headers["allow"]) == (405, allowed)
    assert http.store.stored == []


@pytest.mark.parametrize("path", [NOTIFY, RETURN])
async def test_an_empty_body_is_400(path: str) -> None:
    http = client()
    assert (await http.request("POST", path, b"", b"")).status == 400
    assert http.store.stored == []


@pytest.mark.parametrize("path", [NOTIFY, RETURN])
async def test_a_body_of_exactly_the_limit_is_stored_and_one_byte_more_is_413(path: str) -> None:
    http = client(redirect_url="")
    assert (await http.request("POST", path, b"x" * LIMIT)).status == 200
    assert (await http.request("POST", path, b"x" * (LIMIT + 1))).status == 413
    assert len(http.store.stored) == 1


async def test_a_body_declared_as_too_long_is_not_read() -> None:
    answer = await client().request("POST", NOTIFY, b"x", headers=[(b"content-length", b"2001")])
    assert (answer.status, answer.received) == (413, 0)


@pytest.mark.parametrize("length", [b"10", b"-1", b"many", b""])
async def test_a_chunked_body_is_cut_off_at_the_limit_whatever_length_it_claims(length: bytes) -> None:
    answer = await client().request(
        "POST", NOTIFY, *[b"x" * 1000] * 50, headers=[(b"content-length", length), (b"transfer-encoding", b"chunked")]
    )
    assert (answer.status, answer.received) == (413, 3)


@pytest.mark.parametrize(("path", "status"), [(NOTIFY, 503), (RETURN, 303)])
async def test_a_large_body_that_can_not_be_stored_is_not_received(path: str, status: int) -> None:
    http = client(max_body_bytes=100_000)
    http.store.refusal = "memory"
    channel = path.rpartition("/")[2]
    before = metric("faceid_unstored_total", channel=channel)
    answered = await http.request("POST", path, b"x" * 40_000, headers=[(b"content-length", b"40000")])
    assert (answered.status, answered.received) == (status, 0)
    assert http.store.checked == [40_000]
    assert metric("faceid_unstored_total", channel=channel) == before + 1


@pytest.mark.parametrize("length", [b"16384", b"200000", b"many", b""])
async def test_only_a_large_body_of_an_allowed_length_is_checked_before_it_is_received(length: bytes) -> None:
    http = client(max_body_bytes=100_000)
    await http.request("POST", NOTIFY, b"x", headers=[(b"content-length", length)])
    assert http.store.checked == []


@pytest.mark.parametrize("chunks", [(DISCONNECT,), (b"data=", DISCONNECT)])
async def test_a_client_that_disconnects_gets_no_answer_and_nothing_is_stored(chunks: tuple[Any, ...]) -> None:
    http = client()
    await http.send_request("POST", NOTIFY, chunks, "", [])
    assert http.sent == []
    assert http.store.stored == []


async def test_answers_are_counted_by_channel_and_status() -> None:
    http = client()
    before = metric("faceid_requests_total", channel="notify", status="200")
    await http.request("POST", NOTIFY, b"x")
    assert metric("faceid_requests_total", channel="notify", status="200") == before + 1


# Pages for operators


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("refusal", ["", "OperationalError"])
async def test_a_running_process_is_healthy_whether_or_not_it_can_store(method: str, refusal: str) -> None:
    http = client()
    http.store.refusal = refusal
    assert (await http.request(method, "/healthz")).status == 200


@pytest.mark.parametrize("path", ["/metrics", "/readyz", "/livez"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
async def test_the_pages_of_the_admin_listener_are_not_public(path: str, method: str) -> None:
    assert (await client().request(method, path)).status == 404


# Lifespan


@asynccontextmanager
async def running(http: Client) -> AsyncIterator[None]:
    """Run the application from startup to shutdown, as a server does."""
    events, sent = asyncio.Queue[dict[str, Any]](), asyncio.Queue[Any]()
    task = asyncio.create_task(http.app({"type": "lifespan"}, events.get, sent.put))
    events.put_nowait({"type": "lifespan.startup"})
    assert await sent.get() == {"type": "lifespan.startup.complete"}
    yield
    events.put_nowait({"type": "lifespan.shutdown"})
    assert await sent.get() == {"type": "lifespan.shutdown.complete"}
    await task


async def test_the_backlog_is_monitored_from_startup_to_shutdown() -> None:
    http = client()
    async with running(http):
        await http.store.monitoring.wait()
    assert http.store.closed
    assert http.store.monitoring_ended
