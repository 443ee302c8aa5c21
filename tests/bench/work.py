"""The work that all pipelines do: verify and classify one callback, and write one event.

A peer's task calls this and nothing else, so that only the queues and workers are compared.
"""

import os
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from redis import Redis
from redis import asyncio as redis_asyncio

from deploy.local.stack import DEMO_KEY, DEMO_SECRET
from shared.events.cloudevent import to_event
from shared.messaging.envelope import Envelope
from tests.support.payloads import new_envelope
from workers.decisioning.classifier import classify
from workers.decisioning.decision_builder import decide
from workers.decisioning.evidence import ReconciledCase
from workers.decisioning.policy import Policy
from workers.faceid.payload import Payload, is_final
from workers.faceid.verification import Unverified, VerifiedArrival, verify

REDIS_URL: Final = os.environ.get("BENCH_REDIS_URL", "redis://127.0.0.1:6379/0")
GETRESULT_URL: Final = os.environ.get("BENCH_GETRESULT_URL", "")
"""Empty: decide on the signed callback alone."""
HTTP_CLIENT: Final = os.environ.get("BENCH_HTTP_CLIENT", "aiohttp")
IN_FLIGHT: Final = int(os.environ.get("BENCH_IN_FLIGHT", "64"))
"""Tasks at once in an asynchronous worker."""
RESULTS: Final = "bench:results"
FORM: Final = "application/x-www-form-urlencoded"
POLICY: Final = Policy.load()

Get = Callable[[str], Awaitable[bytes]]


def decide_callback(body: str) -> bytes | None:
    """Decide a callback without GetResult. Returns the event, or None when there is no decision."""
    found = _verified(body)
    return _event(*found, b"") if found else None


async def reconciled(body: str, get: Get) -> bytes | None:
    """The same with GetResult's answer as evidence."""
    found = _verified(body)
    return _event(*found, await get(found[1].biz_id)) if found else None


def _verified(body: str) -> tuple[Envelope, VerifiedArrival] | None:
    envelope = new_envelope("default", "notify", "POST", body.encode(), FORM, "", time.time())
    try:
        verified = verify(envelope, [DEMO_SECRET])
    except Unverified:
        return None
    final = verified.callback is not None and is_final(verified.callback.status)
    return (envelope, verified) if final else None


def _event(envelope: Envelope, verified: VerifiedArrival, answer: bytes) -> bytes:
    result = Payload.from_answer(answer.decode(), verified.biz_id) if answer else None
    item = ReconciledCase(verified, answer.decode(), result, None, bool(answer), ("notify",))
    verdict = classify(item.evidence, POLICY)
    decided = decide(envelope, item, verdict, POLICY, time.time())
    return to_event(decided, decided.dump())


class SyncHandler:
    """The task of a synchronous peer; one for each process."""

    def __init__(self) -> None:
        self._redis: Any = Redis.from_url(REDIS_URL)

    def decide(self, body: str) -> None:
        """Decide one callback and store the event."""
        if event := decide_callback(body):
            self._redis.rpush(RESULTS, event)


class AsyncHandler:
    """The task of an asynchronous peer. It opens its connections at its first use, on that event loop."""

    def __init__(self) -> None:
        self._redis: Any = redis_asyncio.Redis.from_url(REDIS_URL)
        self._get: Get | None = None

    async def decide(self, body: str) -> None:
        """Decide one callback and store the event."""
        if event := await self._decided(body):
            await self._redis.rpush(RESULTS, event)

    async def decide_all(self, bodies: Sequence[str]) -> None:
        """Decide a batch without GetResult, and store all events in one command."""
        if events := [event for event in map(decide_callback, bodies) if event]:
            await self._redis.rpush(RESULTS, *events)

    async def _decided(self, body: str) -> bytes | None:
        if not GETRESULT_URL:
            return decide_callback(body)
        if self._get is None:
            self._get = HTTP_CLIENTS[HTTP_CLIENT]()
        return await reconciled(body, self._get)


def _query(biz_id: str) -> dict[str, str]:
    return {"api_key": DEMO_KEY, "api_secret": DEMO_SECRET, "biz_id": biz_id, "return_verify_time": "1"}


def _with_httpx() -> Get:
    import httpx

    limits = httpx.Limits(max_connections=IN_FLIGHT, max_keepalive_connections=IN_FLIGHT)
    client = httpx.AsyncClient(limits=limits, timeout=10.0, trust_env=False)

    async def get(biz_id: str) -> bytes:
        return (await client.get(GETRESULT_URL, params=_query(biz_id))).content

    return get


def _with_aiohttp() -> Get:
    import aiohttp

    client = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=IN_FLIGHT))

    async def get(biz_id: str) -> bytes:
        async with client.get(GETRESULT_URL, params=_query(biz_id)) as response:
            return await response.read()

    return get


HTTP_CLIENTS: Final[dict[str, Callable[[], Get]]] = {"httpx": _with_httpx, "aiohttp": _with_aiohttp}
