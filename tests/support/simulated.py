"""The simulator and a customer's web server, over real sockets on one event loop."""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl
from uuid import uuid4

import uvicorn
from pyreqwest.client import Client
from pyreqwest.response import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from deploy.simulator.driver.browser import Browser, Token, Visit, get_token, http_client
from deploy.simulator.driver.control_client import ControlClient
from deploy.simulator.model.faults import Faults
from deploy.simulator.model.settings import BASE_PATH, SimulatorSettings
from deploy.simulator.server.app import create_app
from deploy.simulator.server.serve import listening_socket
from tests.support.waiting import eventually

API_KEY = "test_api_key_0001"
SECRET = "test_api_secret_0001"
OTHER_KEY = "test_api_key_0002"
OTHER_SECRET = "test_api_secret_0002"
ACCOUNTS = {API_KEY: SECRET, OTHER_KEY: OTHER_SECRET}


@dataclass(frozen=True)
class Arrival:
    """One request that reached the customer."""

    channel: str
    method: str
    query: str
    content_type: str
    body: bytes

    @property
    def fields(self) -> list[tuple[str, str]]:
        return parse_qsl(self.body.decode(), keep_blank_values=True, strict_parsing=True)

    @property
    def text(self) -> str:
        return dict(self.fields)["data"]

    @property
    def data(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.text)
        return document

    @property
    def is_signed(self) -> bool:
        return dict(self.fields)["sign"] == hashlib.sha1((SECRET + self.text).encode()).hexdigest()


class Customer:
    """The customer's web server. It keeps all requests, and answers notifies with `notify_answers`."""

    def __init__(self) -> None:
        self.url = ""
        self.arrivals: list[Arrival] = []
        self.notify_answers: list[int] = []
        """HTTP statuses for the next notifies. After the last one notifies are answered 200."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = b""
        more = True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        channel = scope["path"].strip("/")
        content_type = dict(scope["headers"]).get(b"content-type", b"").decode()
        self.arrivals.append(Arrival(channel, scope["method"], scope["query_string"].decode(), content_type, body))
        await self._answer(303 if channel == "return" else self._notify_answer(), send)

    def _notify_answer(self) -> int:
        return self.notify_answers.pop(0) if self.notify_answers else 200

    async def _answer(self, status: int, send: Send) -> None:
        headers = [(b"content-length", b"0"), (b"location", b"/done")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b""})

    def channels(self) -> list[str]:
        return [arrival.channel for arrival in self.arrivals]

    def on(self, channel: str) -> list[Arrival]:
        return [arrival for arrival in self.arrivals if arrival.channel == channel]


@dataclass
class Clock:
    """A clock in Unix seconds. A test can set `now`."""

    now: float = 1_700_000_000.25

    def __call__(self) -> float:
        return self.now


@dataclass
class World:
    """The simulator, the customer, a browser and a client of the control API."""

    url: str
    http: Client
    customer: Customer
    clock: Clock
    remote: ControlClient
    browser: Browser = field(init=False)

    def __post_init__(self) -> None:
        self.browser = Browser(self.http, self.base)

    @property
    def base(self) -> str:
        return self.url + BASE_PATH

    def order(self, **fields: str) -> dict[str, str]:
        """The fields of a valid get_token request, changed by `fields`."""
        valid = {
            "api_key": API_KEY,
            "api_secret": SECRET,
            "return_url": f"{self.customer.url}/return",
            "notify_url": f"{self.customer.url}/notify",
            "biz_no": uuid4().hex,
            "comparison_type": "0",
            "uuid": "user",
            "image_ref1": "photo",
        }
        return valid | fields

    async def token(self, **fields: str) -> Token:
        return await get_token(self.http, self.base, self.order(**fields))

    async def verify(self, user: str = "", faults: Faults | None = None, **fields: str) -> tuple[Token, Visit]:
        """Play one verification. The customer's earlier arrivals are deleted."""
        token = await self.token(**fields)
        if faults:
            await self.remote.assign(token.biz_id, faults=faults)
        self.customer.arrivals.clear()
        return token, await self.browser.verify(token.token, user)

    async def get_result(self, biz_id: str, **fields: str) -> Response:
        arguments = {"api_key": API_KEY, "api_secret": SECRET, "biz_id": biz_id} | fields
        return await self.http.get(f"{self.base}/get_result").query(arguments).build().send()

    async def result(self, biz_id: str, **fields: str) -> tuple[int, dict[str, Any]]:
        """GetResult's HTTP status and document."""
        answer = await self.get_result(biz_id, **fields)
        return answer.status, json.loads(await answer.text())

    async def reads(self, biz_id: str) -> int:
        return int((await self.remote.session(biz_id))["reads"])


@asynccontextmanager
async def running(app: ASGIApp, lifespan: Any = "on") -> AsyncIterator[str]:
    """Serve the app on a free port. Gives its URL."""
    config = uvicorn.Config(app, log_level="critical", access_log=False, lifespan=lifespan, timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    with listening_socket("127.0.0.1:0") as listener:
        task = asyncio.create_task(server.serve(sockets=[listener]))
        await eventually(lambda: server.started)
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            await task


@asynccontextmanager
async def simulated(**settings: object) -> AsyncIterator[World]:
    """Run a simulator with these settings and a customer."""
    simulator_settings = SimulatorSettings.model_validate({"any_port": True, "accounts": ACCOUNTS} | settings)
    customer, clock = Customer(), Clock()
    async with running(create_app(simulator_settings, clock)) as url, running(customer, "off") as customer_url:
        customer.url = customer_url
        async with http_client() as http:
            yield World(url, http, customer, clock, ControlClient(http, url))
