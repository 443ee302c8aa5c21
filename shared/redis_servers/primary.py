"""Connections that end when the server does not take writes, so that the next one reaches the new primary.

A server that was the primary keeps its connections at a failover, and answers READONLY to each write for ever.
"""

import re
from typing import Any, Final

from redis.asyncio.connection import AbstractConnection as AsyncConnection
from redis.connection import AbstractConnection
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

_REFUSAL: Final = re.compile(r"\b(READONLY|MASTERDOWN|NOREPLICAS)\b|^(UNBLOCKED) .*instance state changed")
"""In the text of an error, because a script quotes the error of its command (`-READONLY` up to Redis 6)."""


class NotPrimary(RedisConnectionError):
    """The server does not take writes: it is a replica, or has too few of them. Nothing was written.

    The connection is closed. LOADING needs no entry here: redis-py has a connection error for it.
    """


def refusal_in(response: Any) -> str:
    """The code of an error, or of an error in a script's list of answers, that says so; empty when there is none."""
    if isinstance(response, ResponseError):
        found = _REFUSAL.search(f"{response.status_code or ''} {response}".lstrip())
        return (found[1] or found[2]) if found else ""
    if type(response) is list:
        return next((code for each in response if isinstance(each, ResponseError) and (code := refusal_in(each))), "")
    return ""


class _FollowsPrimary(AbstractConnection):
    """Mixed into a connection class of redis-py."""

    def read_response(self, *args: Any, disconnect_on_error: bool = True, **options: Any) -> Any:
        try:
            response = super().read_response(*args, disconnect_on_error=disconnect_on_error, **options)
        except ResponseError as error:
            self._end_if_refused(error)
            raise
        self._end_if_refused(response)
        return response

    def _end_if_refused(self, response: Any) -> None:
        if code := refusal_in(response):
            self.disconnect()  # type: ignore[no-untyped-call]
            raise NotPrimary(_text(code)) from None


class _FollowsPrimaryAsync(AsyncConnection):
    """The same for asyncio."""

    async def read_response(self, *args: Any, **options: Any) -> Any:
        try:
            response = await super().read_response(*args, **options)
        except ResponseError as error:
            await self._end_if_refused(error)
            raise
        await self._end_if_refused(response)
        return response

    async def _end_if_refused(self, response: Any) -> None:
        if code := refusal_in(response):
            await self.disconnect(nowait=True)
            raise NotPrimary(_text(code)) from None


def following(connection_class: type[AbstractConnection]) -> type[AbstractConnection]:
    """A connection class that follows the primary."""
    return type(f"Following{connection_class.__name__}", (_FollowsPrimary, connection_class), {})


def following_async(connection_class: type[AsyncConnection]) -> type[AsyncConnection]:
    """The same for asyncio."""
    return type(f"Following{connection_class.__name__}", (_FollowsPrimaryAsync, connection_class), {})


def _text(code: str) -> str:
    return f"the server takes no writes now ({code})"
