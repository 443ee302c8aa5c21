"""Make and post signed callbacks in any number, and read the decisions and alerts."""

import asyncio
import copy
import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from hashlib import sha1
from typing import Any, cast
from urllib.parse import urlencode

from pyreqwest.exceptions import PyreqwestError
from redis import Redis

from deploy.local.stack import DEMO_SECRET
from deploy.simulator.driver.browser import http_client
from shared.events.alert import Alert
from shared.events.cloudevent import from_event
from tests.support.biz_ids import biz_id
from tests.support.paths import VECTORS
from tests.support.waiting import eventually

CALLBACKS: dict[str, dict[str, Any]] = json.loads((VECTORS / "callbacks.json").read_text())
SIGNATURES: list[dict[str, Any]] = json.loads((VECTORS / "signatures.json").read_text())
TIMES = ("received_at", "decided_at")


def signed(payload: dict[str, Any], secret: str = DEMO_SECRET) -> bytes:
    """The form body of a callback, as FaceID posts it."""
    data = json.dumps(payload)
    return urlencode({"data": data, "sign": sha1(f"{secret}{data}".encode()).hexdigest()}).encode()


def bodies(count: int, names: Sequence[str] = ("clean-pass",), first: int = 1) -> list[bytes]:
    """`count` signed callbacks, each with another biz_id. The evidence is taken from these vectors in turn."""
    made = []
    for number in range(first, first + count):
        payload = copy.deepcopy(CALLBACKS[names[number % len(names)]])
        payload["biz_info"]["biz_id"] = biz_id(number)
        payload["biz_info"]["biz_no"] = f"no-{number}"
        made.append(signed(payload))
    return made


async def post_all(url: str, load: Iterable[bytes], at_once: int = 32) -> Counter[int]:
    """Post every body. Returns the number of answers by status. A failed connection has the status 0."""
    statuses: Counter[int] = Counter()
    waiting = iter(load)

    async def poster() -> None:
        for body in waiting:
            statuses[await post(http, url, body)] += 1

    async with http_client() as http:
        await asyncio.gather(*(poster() for _ in range(at_once)))
    return statuses


async def post_until_stored(
    url: str, load: Iterable[bytes], at_once: int = 8, note: Callable[[float], object] = lambda _: None
) -> None:
    """Post each body again and again until it is answered 200; then `note` gets the time at which that post began."""
    waiting = iter(load)

    async def poster() -> None:
        for body in waiting:
            started = time.monotonic()

            async def stored(body: bytes = body) -> bool:
                nonlocal started
                started = time.monotonic()
                return await post(http, url, body) == 200

            await eventually(stored, what="a callback to be stored")
            note(started)

    async with http_client() as http:
        await asyncio.gather(*(poster() for _ in range(at_once)))


async def post(http: Any, url: str, body: bytes) -> int:
    """Post one callback and return the status; 0 when the connection fails."""
    request = http.post(url).header("content-type", "application/x-www-form-urlencoded").body_bytes(body)
    try:
        return cast("int", (await request.build().send()).status)
    except PyreqwestError:
        return 0


def decisions(redis: "Redis", biz_id: str = "") -> list[dict[str, Any]]:
    """The `data` of every decision in the results queue, or of those on one case."""
    entries = cast("list[tuple[bytes, dict[bytes, bytes]]]", redis.xrange("faceid.decisions"))
    made = [json.loads(fields[b"body"])["data"] for _, fields in entries]
    return [decision for decision in made if biz_id in ("", decision["biz_id"])]


def alerts(redis: "Redis") -> list[Alert]:
    """Every alert in the results queue."""
    entries = cast("list[tuple[bytes, dict[bytes, bytes]]]", redis.xrange("faceid.alerts"))
    events = [from_event(fields[b"body"]) for _, fields in entries]
    return [event for event in events if isinstance(event, Alert)]


def without_times(decision: dict[str, Any]) -> str:
    """A decision without its times."""
    return json.dumps({name: value for name, value in decision.items() if name not in TIMES}, sort_keys=True)
