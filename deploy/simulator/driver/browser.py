"""Plays the customer's two other parts: the back end that asks for a token, and the user's browser."""

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
"""Uvicorn closes what is idle for five seconds, perhaps just when it is to be used again."""


class TokenRefused(Exception):
    """get_token said no; the text is its `error_message`."""


@dataclass(frozen=True, slots=True)
class Token:
    """What get_token answered."""

    token: str
    biz_id: str
    biz_no: str
    expired_time: int


@dataclass(frozen=True, slots=True)
class Visit:
    """What became of one visit to the liveness page."""

    page_status: int
    """HTTP status of `do`; 400 for a token that is used up or expired."""
    returned: Literal["POST", "GET"] | None = None
    """How the browser was sent back to the return_url; None when it was not."""
    return_status: int | None = None
    """HTTP status that the return_url answered; None when it did not."""
    location: str = ""
    """Where the return_url sends the user on."""


@dataclass(frozen=True, slots=True)
class Form:
    """The form of a page, as far as a browser needs it to submit it."""

    action: str
    encoding: Encoding
    fields: tuple[Field, ...]


def http_client(timeout_seconds: float = 30) -> Client:
    """A pooled client that follows no redirect and uses no proxy; close it, or use it in `async with`."""
    timeout = timedelta(seconds=timeout_seconds)
    return ClientBuilder().no_proxy().follow_redirects(False).timeout(timeout).pool_idle_timeout(IDLE).build()


async def get_token(http: Client, base_url: str, fields: Mapping[str, str] | Iterable[Field]) -> Token:
    """Ask for a token with the fields of the official page; raises `TokenRefused`.

    `base_url` is the vendor's, such as `http://127.0.0.1:8029/faceid/lite`.
    """
    pairs = fields.items() if isinstance(fields, Mapping) else fields
    body = encode_form(pairs, URLENCODED, BOUNDARY)
    request = http.post(f"{base_url}/get_token").header("content-type", body.content_type).body_bytes(body.content)
    answer = json.loads(await (await request.build().send()).text())
    if "token" not in answer:
        raise TokenRefused(answer["error_message"])
    return Token(answer["token"], answer["biz_id"], answer["biz_no"], answer["expired_time"])


class Browser:
    """The browsers of any number of users at a time, over one pool of connections."""

    def __init__(self, http: Client, base_url: str) -> None:
        self._http = http
        self._base_url = base_url

    async def verify(self, token: str, user: str = "", *, returns: int = 1) -> Visit:
        """Open the page as the user of that scenario, and go back as the page says; raises nothing on the way back.

        `user` empty: the scenario that the session was assigned, `pass` without one. `returns` above 1: the user
        reloads the return page; the last answer is told.
        """
        parameters = {"token": token, "user": user} if user else {"token": token}
        page = await self._http.get(f"{self._base_url}/do").query(parameters).build().send()
        if location := page.get_header("location"):
            return await self._go(page.status, location, returns)
        form = find_form(await page.text())
        return await self._submit(page.status, form, returns) if form else Visit(page.status)

    async def _go(self, page_status: int, location: str, times: int) -> Visit:
        status, onward = await _answer(lambda: self._http.get(location), times)
        return Visit(page_status, "GET", status, onward)

    async def _submit(self, page_status: int, form: Form, times: int) -> Visit:
        body = encode_form(form.fields, form.encoding, BOUNDARY)

        def post() -> RequestBuilder:
            return self._http.post(form.action).header("content-type", body.content_type).body_bytes(body.content)

        status, onward = await _answer(post, times)
        return Visit(page_status, "POST", status, onward)


async def _answer(request: Callable[[], RequestBuilder], times: int) -> tuple[int | None, str]:
    """The HTTP status and the location of the last answer; None when there was none."""
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
    """The form of a page; None when there is none."""
    parser = _FormParser()
    parser.feed(page)
    if parser.form is None:
        return None
    encoding = MULTIPART if parser.form.get("enctype") == MULTIPART else URLENCODED
    return Form(parser.form["action"], encoding, tuple(parser.fields))
