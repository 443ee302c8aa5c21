"""Call GetResult, which returns the result of a biz_id.

FaceID keeps a result for one day and allows three reads of it (FaceID's GetResult page).

The `api_secret` is in the query string, and the HTTP library quotes URLs in its errors. So only the answers and codes
below leave this module, never an exception or a URL.
"""

import errno
import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from typing import Any, Final, Self
from urllib.parse import quote, urlencode

from pyreqwest.client import Client, ClientBuilder
from pyreqwest.exceptions import DetailedPyreqwestError, PyreqwestError
from pyreqwest.response import Response
from tenacity import AsyncRetrying, RetryError, retry_if_result, stop_after_attempt, wait_random_exponential

from shared.accounts import Account
from workers.faceid import odd_json

PERMANENT: Final = frozenset({"RESULT_NOT_FOUND", "DATA_DESTROYED", "MISSING_ARGUMENTS", "BAD_ARGUMENTS"})
"""Refusals that a later call would get again (GetResult's table)."""

CONCURRENCY_LIMIT: Final = "CONCURRENCY_LIMIT_EXCEEDED"
"""Too many calls at once for this api_key (GetResult's table)."""

NO_FILE_DESCRIPTORS: Final = "NO_FILE_DESCRIPTORS"
"""Our own code: this process or machine may open no more files, so the call was not sent."""

NOT_COUNTED: Final = frozenset(
    {CONCURRENCY_LIMIT, "AUTHENTICATION_ERROR", "AUTHORIZATION_ERROR", "API_NOT_FOUND", "NO_CONNECTION"}
)
"""Failures before FaceID reads the result, so the call does not count as a read. `NO_CONNECTION` is our own code."""

TRANSIENT: Final = frozenset({"NO_CONNECTION"})
"""Those of `NOT_COUNTED` that a retry within a second or two may get past. When too many calls are in flight, one more
at once would be too many again."""

_ERROR_KEY: Final = re.compile(rb'"(?:error|ERROR|error_message)"')
"""A 200 answer with one of these keys may be an error. `error_message` is also a field of `verify_result`, so the
answer is parsed to find out."""

MAX_ANSWER_BYTES: Final = odd_json.MAX_BYTES
"""No more of an answer is read, after decompression."""
MAX_RETRY_AFTER: Final = 3600.0
"""Seconds; a longer Retry-After is cut to this."""


@dataclass(frozen=True, slots=True)
class Answered:
    """HTTP 200 without an error. `raw` is the body as it came, not parsed."""

    raw: bytes


@dataclass(frozen=True, slots=True)
class Refused:
    """Permanently refused: there is no result to read."""

    code: str


@dataclass(frozen=True, slots=True)
class Unusable:
    """FaceID read the result, but its answer can't be used. The call counts, and another one would bring the same."""

    code: str


@dataclass(frozen=True, slots=True)
class Unread:
    """FaceID did not read the result, so the call does not count. Try again after `retry_after` seconds or later."""

    code: str
    retry_after: float = 0.0


@dataclass(frozen=True, slots=True)
class Failed:
    """The call failed, and FaceID may have counted it as a read."""

    code: str


Answer = Answered | Refused | Unusable | Unread | Failed


class GetResultClient:
    """A pooled HTTP client for GetResult, used as an asynchronous context manager.

    `timeout`: seconds for a whole call. `max_connections`: to one host.
    """

    def __init__(self, timeout: float, max_connections: int) -> None:
        self._client: Client = (
            ClientBuilder()
            .timeout(timedelta(seconds=timeout))
            .connect_timeout(timedelta(seconds=min(timeout / 2, 5.0)))  # below `timeout`, to recognise NO_CONNECTION
            .max_connections(max_connections)
            .pool_max_idle_per_host(max_connections)
            .follow_redirects(False)  # a redirect would carry the secret to another host
            .no_proxy()
            .build()
        )

    async def __aenter__(self) -> Self:
        await self._client.__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._client.__aexit__(*exc)

    async def read(self, account: Account, biz_id: str) -> Answer:
        """Read the result of `biz_id`; never raises.

        A transient failure that does not count as a read is retried: three calls at most, within a second or two.
        """
        answer = await self._call(account, biz_id)
        return await self._retry(answer, account, biz_id) if _is_transient(answer) else answer

    async def _retry(self, answer: Answer, account: Account, biz_id: str) -> Answer:
        """Retry after `answer`. Only then is tenacity used, which takes longer than a round trip."""
        first = iter([answer])

        async def attempt() -> Answer:
            return next(first, None) or await self._call(account, biz_id)

        retrying = AsyncRetrying(
            retry=retry_if_result(_is_transient),
            wait=wait_random_exponential(multiplier=0.1, max=1.0),
            stop=stop_after_attempt(3),
        )
        try:
            return await retrying(attempt)
        except RetryError as error:
            last: Answer = error.last_attempt.result()
            return last

    async def _call(self, account: Account, biz_id: str) -> Answer:
        key, secret = account.api_key.get_secret_value(), account.api_secrets[0].get_secret_value()
        url = _url_without_biz_id(account.base_url, key, secret) + quote(biz_id, safe="")
        try:
            async with self._client.get(url).build_streamed() as response:
                body = bytes(await response.body_reader.read(MAX_ANSWER_BYTES + 1) or b"")  # the rest is not received
        except PyreqwestError as error:
            return _interpret_error(error)
        return interpret(response.status, body, _retry_after(response))


@lru_cache(maxsize=256)  # letting the client encode the query takes as long as all other work of the request
def _url_without_biz_id(base_url: str, key: str, secret: str) -> str:
    """The URL of an account's results, up to the value of `biz_id`."""
    query = urlencode(
        {"api_key": key, "api_secret": secret, "return_verify_time": "1", "return_image": "0", "biz_id": ""}
    )
    return f"{base_url.rstrip('/')}/get_result?{query}"


def _is_transient(answer: Answer) -> bool:
    return isinstance(answer, Unread) and answer.code in TRANSIENT


def _retry_after(response: Response) -> str | None:
    try:
        return response.get_header("retry-after")
    except ValueError:  # not ASCII
        return None


def interpret(status: int, body: bytes, retry_after: str | None = None) -> Answer:
    """What an HTTP answer means: its `error_message` up to the colon decides, not its status (GetResult's table).

    `body` may end after `MAX_ANSWER_BYTES` + 1 bytes. `retry_after`: the header's value; only whole seconds are
    understood.
    """
    if len(body) > MAX_ANSWER_BYTES:
        if status == 200:
            return Unusable("ANSWER_TOO_LARGE")
        body = b""
    code = _error_code(body) if status != 200 or _ERROR_KEY.search(body) else ""
    if status == 200 and not code:
        return Answered(body)
    if code in PERMANENT:
        return Refused(code)
    if code in NOT_COUNTED:
        return Unread(code, _seconds(retry_after))
    if status == 404:
        return Unread("API_NOT_FOUND", _seconds(retry_after))
    return Failed(code or f"HTTP_{status}")


def _error_code(body: bytes) -> str:
    """The error code in an answer, empty without one. FaceID also writes it under `error` or `ERROR`."""
    try:
        answer: Any = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    if not isinstance(answer, dict):
        return ""
    message = next((answer[key] for key in ("error_message", "error", "ERROR") if answer.get(key)), "")
    code = str(message).partition(":")[0].strip()
    return code if code.isascii() and code.replace("_", "").isalnum() and len(code) <= 64 else ""


def _seconds(retry_after: str | None) -> float:
    return min(float(retry_after), MAX_RETRY_AFTER) if retry_after and retry_after.isdecimal() else 0.0


def _interpret_error(error: PyreqwestError) -> Answer:
    """Distinguish a connection that was never made from one that broke after the request was sent.

    The library raises the same exception types for both; only the causes differ.
    """
    details = error.details if isinstance(error, DetailedPyreqwestError) else {"causes": None}
    causes = [cause["message"] for cause in details["causes"] or ()]
    if "client error (Connect)" in causes:
        return Unread(NO_FILE_DESCRIPTORS if _lacks_files(causes) else "NO_CONNECTION")
    return Failed("TIMEOUT" if isinstance(error, TimeoutError) else "BROKEN_ANSWER")


def _lacks_files(causes: Sequence[str]) -> bool:
    """Whether a connection failed because no file can be opened. The resolver does not say so: then it is tried."""
    if any(cause.endswith(("(os error 23)", "(os error 24)")) for cause in causes):  # ENFILE, EMFILE
        return True
    try:
        os.close(os.open(os.devnull, os.O_RDONLY))
    except OSError as error:
        return error.errno in (errno.ENFILE, errno.EMFILE)
    return False
