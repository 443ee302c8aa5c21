"""GetResult: the vendor's authoritative answer, which can be read three times for a biz_id and for one day.

The `api_secret` travels in the query string, and the HTTP library quotes URLs in its errors: nothing but the codes
below leaves this file.
"""

import json
import re
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from typing import Any, Final, Self
from urllib.parse import quote, urlencode

from pyreqwest.client import Client, ClientBuilder
from pyreqwest.exceptions import DetailedPyreqwestError, PyreqwestError
from pyreqwest.response import Response
from tenacity import AsyncRetrying, RetryError, retry_if_result, stop_after_attempt, wait_random_exponential

from shared.settings import Account

FINAL: Final = frozenset({"RESULT_NOT_FOUND", "DATA_DESTROYED", "MISSING_ARGUMENTS", "BAD_ARGUMENTS"})
"""Refusals that no later call would change."""

TOO_MANY: Final = "CONCURRENCY_LIMIT_EXCEEDED"
"""Too many calls at once for this api_key."""

UNREAD: Final = frozenset({TOO_MANY, "AUTHENTICATION_ERROR", "AUTHORIZATION_ERROR", "API_NOT_FOUND", "NO_CONNECTION"})
"""Refusals that can't have read the result: the call costs nothing."""

QUICK: Final = frozenset({TOO_MANY, "NO_CONNECTION"})
"""Those of them that may be over in a moment."""

MAY_BE_ERROR: Final = re.compile(rb'"(?:error|ERROR|error_message)"')
"""A result may hold it too, further down; parsing tells."""

MAX_ANSWER_BYTES: Final = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Answered:
    """HTTP 200: the raw answer, not looked into."""

    raw: bytes


@dataclass(frozen=True, slots=True)
class Refused:
    """Final: there is no result to be had."""

    code: str


@dataclass(frozen=True, slots=True)
class Unread:
    """The result was not read, and the call costs nothing; try again, not before `retry_after` seconds."""

    code: str
    retry_after: float = 0.0


@dataclass(frozen=True, slots=True)
class Failed:
    """The call failed in a way that may have counted as a read."""

    code: str


Answer = Answered | Refused | Unread | Failed


class GetResultClient:
    """A pooled client for the accounts' GetResult; to be used as an asynchronous context manager."""

    def __init__(self, timeout: float, max_connections: int) -> None:
        self._client: Client = (
            ClientBuilder()
            .timeout(timedelta(seconds=timeout))
            .connect_timeout(timedelta(seconds=min(timeout / 2, 5.0)))  # before `timeout`: then nothing was read
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
        """One read, tried up to three times within a second or two where that costs nothing. Never raises."""
        answer = await self._once(account, biz_id)
        return await self._insist(answer, account, biz_id) if _may_be_over_soon(answer) else answer

    async def _insist(self, answer: Answer, account: Account, biz_id: str) -> Answer:
        """Tried again after this answer. Most calls never come here, and tenacity takes longer than a round trip."""
        known = iter([answer])

        async def attempt() -> Answer:
            return next(known, None) or await self._once(account, biz_id)

        retrying = AsyncRetrying(
            retry=retry_if_result(_may_be_over_soon),
            wait=wait_random_exponential(multiplier=0.1, max=1.0),
            stop=stop_after_attempt(3),
        )
        try:
            return await retrying(attempt)
        except RetryError as error:
            last: Answer = error.last_attempt.result()
            return last

    async def _once(self, account: Account, biz_id: str) -> Answer:
        key, secret = account.api_key.get_secret_value(), account.api_secrets[0].get_secret_value()
        url = _address(account.base_url, key, secret) + quote(biz_id, safe="")
        try:
            response = await self._client.get(url).build().send()
            body = bytes(await response.bytes())
        except PyreqwestError as error:
            return _not_answered(error)
        return judge(response.status, body, _retry_after(response))


@lru_cache(maxsize=256)  # a query that the client encodes itself takes as long as the rest of the request
def _address(base_url: str, key: str, secret: str) -> str:
    """Where an account's results are read; the biz_id is still to be added."""
    query = urlencode({"api_key": key, "api_secret": secret, "return_verify_time": "1", "biz_id": ""})
    return f"{base_url.rstrip('/')}/get_result?{query}"


def _may_be_over_soon(answer: Answer) -> bool:
    return isinstance(answer, Unread) and answer.code in QUICK


def _retry_after(response: Response) -> str | None:
    try:
        return response.get_header("retry-after")
    except ValueError:  # bytes that are no ASCII
        return None


def judge(status: int, body: bytes, retry_after: str | None = None) -> Answer:
    """What an HTTP answer means: by its error_message up to the colon, not by its code."""
    if len(body) > MAX_ANSWER_BYTES:
        return Failed("TOO_LARGE")
    code = _error_code(body) if status != 200 or MAY_BE_ERROR.search(body) else ""
    if status == 200 and not code:
        return Answered(body)
    if code in FINAL:
        return Refused(code)
    if code in UNREAD:
        return Unread(code, _seconds(retry_after))
    if status == 404:
        return Unread("API_NOT_FOUND", _seconds(retry_after))
    return Failed(code or f"HTTP_{status}")


def _error_code(body: bytes) -> str:
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
    return min(float(retry_after), 3600.0) if retry_after and retry_after.isdecimal() else 0.0


def _not_answered(error: PyreqwestError) -> Answer:
    """The types don't tell a refused connection from one that broke after the request went out; the causes do."""
    details = error.details if isinstance(error, DetailedPyreqwestError) else {"causes": None}
    if any(cause["message"] == "client error (Connect)" for cause in details["causes"] or ()):
        return Unread("NO_CONNECTION")
    return Failed("TIMEOUT" if isinstance(error, TimeoutError) else "BROKEN_ANSWER")
