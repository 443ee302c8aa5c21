"""Play the customer's side: the back end that asks for a token, and the user's browser."""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from html.parser import HTMLParser
from typing import Literal

from pyreqwest.client import Client, ClientBuilder
from pyreqwest.exceptions import RequestError
from pyreqwest.request import RequestBuilder

from deploy.simulator.model.wire import MULTIPART, URLENCODED, Encoding, Field, encode_form

BOUNDARY = "----FaceIDSimulatorBrowser"
IDLE = timedelta(seconds=2)
"""How long an idle connection is kept. Uvicorn closes one after 5 s, and a request on it would fail."""


class TokenRefused(Exception):
    """get_token answered with an error. The text is its `error_message`."""


@dataclass(frozen=True, slots=True)
class Token:
    """The answer of get_token."""

    token: str
    biz_id: str
    biz_no: str


@dataclass(frozen=True, slots=True)
class Visit:
    """The result of one visit to the liveness page."""

    page_status: int
    """HTTP status of `do`. 400: the token was used already, or has expired."""
    returned: Literal["POST", "GET"] | None = None
    """How the browser was sent back to the return_url. None: it was not."""
    return_status: int | None = None
    """HTTP status of the return_url. None: it did not answer."""
    location: str = ""
    """The Location header of the return_url's answer, or empty."""


@dataclass(frozen=True, slots=True)
class Form:
    """A form as a browser submits it."""

    action: str
    encoding: Encoding
    fields: tuple[Field, ...]


def http_client(timeout_seconds: float = 30) -> Client:
    """An HTTP client with a connection pool. No redirects, no proxy. Close it, or use `async with`."""
    timeout = timedelta(seconds=timeout_seconds)
    return ClientBuilder().no_proxy().follow_redirects(False).timeout(timeout).pool_idle_timeout(IDLE).build()


async def get_token(http: Client, base_url: str, fields: Mapping[str, str] | Iterable[Field]) -> Token:
    """Call get_token with form fields of the API's documents. Raises `TokenRefused`.

    `base_url` ends in the vendor's path: `http://127.0.0.1:8029/faceid/lite`.
    """
    pairs = fields.items() if isinstance(fields, Mapping) else fields
    body = encode_form(pairs, URLENCODED, BOUNDARY)
    request = http.post(f"{base_url}/get_token").header("content-type", body.content_type).body_bytes(body.content)
    answer = json.loads(await (await request.build().send()).text())
    if "token" not in answer:
        raise TokenRefused(answer["error_message"])
    return Token(answer["token"], answer["biz_id"], answer["biz_no"])


class Browser:
    """The browsers of any number of users, over one connection pool."""

    def __init__(self, http: Client, base_url: str) -> None:
        self._http = http
        self._base_url = base_url

    async def verify(self, token: str, user: str = "", *, returns: int = 1) -> Visit:
        """Open the liveness page, and return to the customer as the page says. A failed return raises nothing.

        Args:
            user: Name of the scenario to play. Empty: the one assigned to the session, or `pass`.
            returns: How often the return page is loaded. The last answer is reported.
        """
        parameters = {"token": token, "user": user} if user else {"token": token}
        page = await self._http.get(f"{self._base_url}/do").query(parameters).build().send()
        if location := page.get_header("location"):
            return await self._go(page.status, location, returns)
        form = find_form(await page.text())
        return await self._submit(page.status, form, returns) if form else Visit(page.status)

    async def _go(self, page_status: int, location: str, times: int) -> Visit:
        status, next_location = await _answer(lambda: self._http.get(location), times)
        return Visit(page_status, "GET", status, next_location)

    async def _submit(self, page_status: int, form: Form, times: int) -> Visit:
        body = encode_form(form.fields, form.encoding, BOUNDARY)

        def post() -> RequestBuilder:
            return self._http.post(form.action).header("content-type", body.content_type).body_bytes(body.content)

        status, next_location = await _answer(post, times)
        return Visit(page_status, "POST", status, next_location)


async def _answer(request: Callable[[], RequestBuilder], times: int) -> tuple[int | None, str]:
    """Send the request `times` times. Returns status and location of the last answer; status None: no answer."""
    status, location = None, ""
    for _ in range(times):
        try:
            answer = await request().build().send()
            status, location = answer.status, answer.get_header("location") or ""
        except RequestError:
            status, location = None, ""
    return status, location


class _FormParser(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.form: dict[str, str] | None = None
        self.fields: list[Field] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.form = attributes
        elif tag == "input" and self.form is not None:
            self.fields.append((attributes["name"], attributes["value"]))


def find_form(page: str) -> Form | None:
    """The first form of an HTML page. None: it has no form."""
    parser = _FormParser()
    parser.feed(page)
    if parser.form is None:
        return None
    encoding = MULTIPART if parser.form.get("enctype") == MULTIPART else URLENCODED
    return Form(parser.form["action"], encoding, tuple(parser.fields))
